"""How many bytes a matrix takes in each format of safetensors checkpoints.

`o` and `i` are the matrix's outputs and inputs. One function a layout, in the words of the library that
writes it; sizes are those of the tensors, without the header.
"""

from collections.abc import Callable
from typing import NamedTuple

from tonnage.units import ceil_div

Layout = Callable[[int, int], int | None]
"""(o, i) -> bytes; None where the library leaves a matrix of that shape alone"""


class Affine(NamedTuple):
    """Integers with a scale, and a zero point, per group of inputs."""

    bits: int = 4
    group: int = 128


def unquantised(o: int, i: int) -> int:
    """BF16 or F16."""
    return 2 * o * i


def fp8_block(scale_bytes: int = 4, rows: int = 128, columns: int = 128) -> Layout:
    """A byte per weight and a scale per block (transformers FineGrainedFP8; DeepSeek: F32, Qwen: BF16)."""
    return lambda o, i: o * i + ceil_div(o, rows) * ceil_div(i, columns) * scale_bytes


def fp8_tensor(input_scale: bool = False) -> Layout:
    """A byte per weight, one F32 scale for the weight and, of static schemes, one for its input (ModelOpt)."""
    return lambda o, i: o * i + 4 + 4 * input_scale


def fp8_channel(o: int, i: int) -> int:
    """A byte per weight and a BF16 scale per output (compressed-tensors float-quantized)."""
    return o * i + 2 * o


def awq(a: Affine = Affine()) -> Layout:  # noqa: B008 - a constant
    """AutoAWQ's GEMM: qweight (i, o*bits/32) and qzeros (i/g, o*bits/32) as I32, scales (i/g, o) as F16."""

    def nbytes(o: int, i: int) -> int | None:
        group, packed = _group(a, i), o * a.bits // 32
        if i % group or o * a.bits % 32:
            return None
        return i * packed * 4 + i // group * packed * 4 + i // group * o * 2

    return nbytes


def gptq(a: Affine = Affine()) -> Layout:  # noqa: B008
    """GPTQModel: qweight (i*bits/32, o), qzeros, scales (F16), and g_idx, an I32 per input."""

    def nbytes(o: int, i: int) -> int | None:
        groups = ceil_div(i, _group(a, i))
        if i * a.bits % 32 or o * a.bits % 32:
            return None
        return i * a.bits // 32 * o * 4 + groups * (o * a.bits // 32) * 4 + groups * o * 2 + 4 * i

    return nbytes


def pack_quantized(a: Affine = Affine(), symmetric: bool = True) -> Layout:  # noqa: B008
    """compressed-tensors pack-quantized: weight_packed (o, i*bits/32), weight_scale (BF16), weight_shape (two I64)."""

    def nbytes(o: int, i: int) -> int:
        groups = ceil_div(i, _group(a, i))
        zero_points = 0 if symmetric else ceil_div(o * a.bits, 32) * groups * 4
        return o * ceil_div(i * a.bits, 32) * 4 + o * groups * 2 + 16 + zero_points

    return nbytes


def nvfp4(o: int, i: int) -> int | None:
    """Two weights a byte, an F8 scale per 16, an F32 scale for the weight and one for its input."""
    return None if i % 16 else o * i // 2 + o * i // 16 + 8


def mxfp4(o: int, i: int) -> int | None:
    """Two weights a byte and a shared exponent per 32 (OCP MX)."""
    return None if i % 32 else o * i // 2 + o * i // 32


def nf4(double_quant: bool = True) -> Layout:
    """NF4 of bitsandbytes: two weights a byte, a scale per 64; tables of 16 and 256 F32, and a state of some 90 bytes."""

    def nbytes(o: int, i: int) -> int:
        blocks = ceil_div(o * i, 64)
        scales = blocks + ceil_div(blocks, 256) * 4 + 1024 if double_quant else 4 * blocks
        return ceil_div(o * i, 2) + scales + 64 + 90

    return nbytes


def int8(o: int, i: int) -> int:
    """LLM.int8 of bitsandbytes: a byte per weight, an F32 scale per output (SCB)."""
    return o * i + 4 * o


def mlx(a: Affine = Affine(4, 64), mode: str = "affine") -> Layout:  # noqa: B008
    """MLX: affine with a 16-bit scale and bias per group, or a one-byte scale per group (mxfp4, mxfp8, nvfp4)."""
    per_group = 4 if mode == "affine" else 1

    def nbytes(o: int, i: int) -> int | None:
        return None if i % a.group else o * (i * a.bits // 8 + i // a.group * per_group)

    return nbytes


def _group(a: Affine, i: int) -> int:
    """A group of -1 is the whole row."""
    return i if a.group <= 0 else a.group
