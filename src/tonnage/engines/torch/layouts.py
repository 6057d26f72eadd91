"""Bytes of a matrix as vLLM and SGLang keep it: parameters as they are loaded, before a kernel packs them anew.

Source: vLLM 0.33, model_executor/layers/quantization; run on the meta device (tests/data/torch-cases.json.gz).
"""

from collections.abc import Callable, Mapping

from tonnage.quant.layouts import fp8_tensor, int8, mxfp4, nf4, nvfp4
from tonnage.quant.schemes import Scheme
from tonnage.units import ceil_div

Layout = Callable[[Scheme, int, int], int]
"""(scheme, outputs, inputs) -> bytes"""


def _fp8_block(scheme: Scheme, o: int, i: int) -> int:
    """A byte a weight and an F32 scale per block."""
    return o * i + 4 * ceil_div(o, scheme.block[0]) * ceil_div(i, scheme.block[1])


def _channel(scheme: Scheme, o: int, i: int) -> int:
    """A byte a weight and an F32 scale per output."""
    return o * i + 4 * o


def _packed(scheme: Scheme, o: int, i: int) -> int:
    """Weights packed in I32, 16-bit scales and packed zero points per group; no order of inputs (g_idx) without act-order."""
    groups = ceil_div(i, scheme.group if scheme.group > 0 else i)
    return o * i * scheme.bits // 8 + groups * o * 2 + groups * o * scheme.bits // 8


def _pack_quantized(scheme: Scheme, o: int, i: int) -> int:
    """compressed-tensors: as packed, with zero points where they are stored, and the shape as two I64."""
    groups = ceil_div(i, scheme.group if scheme.group > 0 else i)
    zeros = 0 if scheme.symmetric else groups * o * scheme.bits // 8
    return o * i * scheme.bits // 8 + groups * o * 2 + zeros + 16


def _mxfp4(scheme: Scheme, o: int, i: int) -> int:
    return mxfp4(o, i) or 2 * o * i


LAYOUTS: Mapping[str, Layout] = {
    "fp8": _fp8_block,
    "fp8-tensor": lambda scheme, o, i: fp8_tensor(scheme.input_scale)(o, i) or 0,
    "fp8-channel": _channel,
    "w8a8": _channel,
    "awq": _packed,
    "gptq": _packed,
    "w4a16": _pack_quantized,
    "nvfp4": lambda scheme, o, i: nvfp4(o, i) or 2 * o * i,
    "mxfp4": _mxfp4,
    "nf4": lambda scheme, o, i: nf4(scheme.double_quant)(o, i) or 0,
    "int8": lambda scheme, o, i: int8(o, i),
}
