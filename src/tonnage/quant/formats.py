"""The formats of safetensors checkpoints: what a model takes in one that has no file yet.

Every format is a row: its layout, the matrices that it leaves in BF16, and how well the rule is proven.
`exact` rows reproduce published totals to the byte; `from source` is read from the writer's code; of a row
that is `not verified` a band says how far off it may be.

What a prediction does not know: the safetensors headers (about 130 bytes a tensor), and blocks of multi-token
prediction whose shape the published count does not prove; those are counted in BF16, with a band.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import dataclass
from tonnage.model.published import ATTENTION, EMBEDDING, EXPERT, GATE, HEAD, LINEAR, NEXTN, OTHER, ROUTER, Matrix, matrices
from tonnage.model.types import Model
from tonnage.quant import layouts
from tonnage.quant.layouts import Affine, Layout
from tonnage.quant.schemes import Scheme

EXACT, FROM_SOURCE, NOT_VERIFIED = "exact", "from source", "not verified"

_ENDS = frozenset((EMBEDDING, HEAD, ROUTER, GATE, NEXTN, OTHER))
"""what nearly every quantiser leaves alone: embedding, head, routers, gates of few rows, the projection of MTP"""
_ALL_BUT_EXPERTS = frozenset((*_ENDS, LINEAR, ATTENTION))
_MLX = frozenset((NEXTN, OTHER))


class Doubt(NamedTuple):
    """How far the truth may lie from a prediction: `low` <= 0 <= `high`, bytes."""

    low: int
    high: int


class Format(NamedTuple):
    """One format, as those name it who upload it."""

    name: str
    help: str
    layout: Layout
    kept: frozenset[str]
    """roles of matrices that stay in BF16"""
    status: str
    engines: tuple[str, ...]
    """what loads it"""
    doubt: Callable[[int, int, int], Doubt | None] = lambda quantised, weights, attention: None
    """(bytes quantised, weights quantised, bytes that BF16 attention would add) -> how far off the total may be"""


_TORCH = ("vllm", "sglang", "transformers")
_SERVERS = ("vllm", "sglang")
_APPLE = ("mlx",)


def _attention_may_stay(quantised: int, weights: int, attention: int) -> Doubt:
    """Uploads of NVFP4 leave attention alone as often as not."""
    return Doubt(0, attention)


def _single_quant(quantised: int, weights: int, attention: int) -> Doubt:
    """Scales may be F32, one per 64, instead of quantised ones; and half a percent for what was not checked."""
    return Doubt(-quantised // 200, weights // 64 * 3 + quantised // 200)


def _one_percent(quantised: int, weights: int, attention: int) -> Doubt:
    return Doubt(-quantised // 100, quantised // 100)


def _mlx(name: str, bits: int, group: int, mode: str, status: str) -> Format:
    title = f"MLX {mode} {bits} bit, groups of {group}; embedding and head too"
    return Format(name, title, layouts.mlx(Affine(bits, group), mode), _MLX, status, _APPLE)


FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        Format("bf16", "as trained, two bytes a weight", layouts.unquantised, frozenset((OTHER,)), EXACT, _TORCH),
        Format("fp8", "FP8 in blocks of 128 x 128 (DeepSeek, Qwen)", layouts.fp8_block(), _ENDS, EXACT, _TORCH),
        Format("fp8-tensor", "FP8 with one scale a matrix (ModelOpt)", layouts.fp8_tensor(True), _ENDS, FROM_SOURCE, _SERVERS),
        Format("fp8-channel", "FP8 with a scale per output (compressed-tensors)", layouts.fp8_channel, _ENDS, FROM_SOURCE, _TORCH),
        Format("w8a8", "INT8 weights with a scale per output (compressed-tensors)", layouts.fp8_channel, _ENDS, FROM_SOURCE, _TORCH),
        Format("awq", "AWQ GEMM, 4 bit, groups of 128", layouts.awq(), _ENDS, EXACT, _TORCH),
        Format("gptq", "GPTQ, 4 bit, groups of 128", layouts.gptq(), _ENDS, FROM_SOURCE, _TORCH),
        Format("w4a16", "compressed-tensors pack-quantized, 4 bit, groups of 128", layouts.pack_quantized(), _ENDS, FROM_SOURCE, _TORCH),
        Format("nvfp4", "NVFP4 (ModelOpt, compressed-tensors)", layouts.nvfp4, _ENDS, FROM_SOURCE, _SERVERS, _attention_may_stay),
        Format("mxfp4", "MXFP4, experts only (gpt-oss)", layouts.mxfp4, _ALL_BUT_EXPERTS, EXACT, _TORCH),
        Format("nf4", "bitsandbytes NF4, scales quantised twice", layouts.nf4(), _ENDS, NOT_VERIFIED, _TORCH, _single_quant),
        Format("int8", "bitsandbytes LLM.int8", layouts.int8, _ENDS, NOT_VERIFIED, _TORCH, _one_percent),
        *(_mlx(f"mlx-{bits}bit", bits, 64, "affine", EXACT if bits == 4 else FROM_SOURCE) for bits in (2, 3, 4, 5, 6, 8)),
        _mlx("mlx-mxfp4", 4, 32, "mxfp4", FROM_SOURCE),
        _mlx("mlx-nvfp4", 4, 16, "nvfp4", FROM_SOURCE),
        _mlx("mlx-mxfp8", 8, 32, "mxfp8", FROM_SOURCE),
    )
}

_PROVEN = {"fp8": ("deepseek2",), "mxfp4": ("gpt-oss",), "awq": ("llama", "qwen3")}
"""exact formats -> architectures of the totals that prove them; elsewhere the same layout is from source"""
_ALIASES = {"fp8-block": "fp8", "bnb-nf4": "nf4", "bnb-4bit": "nf4", "bnb-int8": "int8", "gptq-int4": "gptq", "mlx": "mlx-4bit"}
_F32_SCALES = ("deepseek2", "deepseek32", "glm-dsa")
"""architectures whose FP8 uploads have F32 scales per block; the others' are BF16 (Qwen)"""
_ROUTER_AT_8_BIT = ("qwen", "gpt-oss")
_ROUTER_IS_LINEAR = ("qwen", "gpt-oss", "llama")
"""beginnings of architectures whose router mlx-lm quantises, those above at 8 bit; the others' is no nn.Linear there"""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Sizes of a model in a format that need not have a file."""

    format: str
    nbytes: int
    """of all tensors, text, vision and MTP; without headers"""
    quantised_bytes: int
    kept_bytes: int
    """of what stays in BF16 or F32"""
    parameters: int
    status: str
    error: Doubt | None = None
    """None means as the status says"""
    notes: tuple[str, ...] = ()

    @property
    def bits_per_weight(self) -> float:
        """Stored bits over the parameters."""
        return 8 * self.nbytes / self.parameters


def find(name: str) -> Format | None:
    """The format called `name`, in any case; None where there is none."""
    key = name.strip().lower().replace("_", "-")
    return FORMATS.get(_ALIASES.get(key, key))


def parse(name: str) -> Format:
    """The format called `name`; UnsupportedError with the nearest names where there is none."""
    found = find(name)
    if found is None:
        raise UnsupportedError(f"unknown format {name!r}", nearest(name, (*FORMATS, *_ALIASES)))
    return found


def refusal(name: str, engine: str) -> UnsupportedError | None:
    """Why `engine` cannot load the format called `name`; None where it is no format of safetensors."""
    found = find(name)
    if found is None or engine in found.engines:
        return None
    return UnsupportedError(
        f"{engine} cannot load {name!r}, {found.help}: use --engine {' or '.join(found.engines)}, or a recipe of llama.cpp such as Q4_K_M"
    )


def predict(model: Model, name: str, *, mtp: bool = True) -> Prediction:
    """The model in the format called `name`, as its usual uploaders write it.

    `mtp` False leaves blocks of multi-token prediction out, as most quantisers do.
    """
    chosen = parse(name)
    return _predict(model, chosen, _layout_of(chosen, model), _none, mtp)


def predict_scheme(model: Model, scheme: Scheme, *, mtp: bool = True) -> Prediction:
    """The model as the `quantization_config` of its own config says."""
    chosen = parse(scheme.format if scheme.method != "mlx" else "mlx-4bit")._replace(name=scheme.format)
    if scheme.fp4_experts:
        chosen = chosen._replace(status=NOT_VERIFIED, doubt=_one_percent)
    return _predict(model, chosen, _layout_of_scheme(scheme, model), _kept_by(scheme), mtp, layouts.mxfp4 if scheme.fp4_experts else None)


def stored(model: Model, asked: str | Scheme) -> Iterator[tuple[Matrix, int]]:
    """Every matrix of the text model without MTP, and the bytes of all its copies, in the format called `asked` or by a scheme."""
    if isinstance(asked, Scheme):
        name = asked.format if asked.method != "mlx" else "mlx-4bit"
        chosen, layout, is_kept = parse(name)._replace(name=asked.format), _layout_of_scheme(asked, model), _kept_by(asked)
    else:
        chosen = parse(asked)
        layout, is_kept = _layout_of(chosen, model), _none
    for matrix in matrices(model, mtp=False):
        nbytes = None if is_kept(matrix) else _one(matrix, chosen, layout, model.architecture)
        yield matrix, _unquantised(matrix) if nbytes is None else nbytes * matrix.copies


def _none(matrix: Matrix) -> bool:
    return False


def _unquantised(matrix: Matrix) -> int:
    return matrix.elements * (4 if matrix.float32 else 2)


def _predict(model: Model, chosen: Format, layout: Layout, is_kept: Callable[[Matrix], bool], mtp: bool, experts: Layout | None = None) -> Prediction:
    mtp = mtp and chosen.engines != _APPLE  # mlx-lm's sanitize drops these blocks
    table = matrices(model, mtp=mtp)
    kept = quantised = weights = attention = 0
    for matrix in table:
        nbytes = None if is_kept(matrix) else _one(matrix, chosen, experts if experts and matrix.role == EXPERT else layout, model.architecture)
        if nbytes is None:
            kept += _unquantised(matrix)
            continue
        quantised += nbytes * matrix.copies
        weights += matrix.elements
        attention += (2 * matrix.elements - nbytes * matrix.copies) if matrix.role == ATTENTION else 0
    if not weights:
        raise UnsupportedError(f"{model.name} has no matrix that {chosen.name} quantises ({chosen.help})")
    rest, unknown = _not_in_table(model, table, mtp)
    error = _joined(chosen.doubt(quantised, weights, attention), Doubt(-2 * unknown, 0) if unknown and chosen.name != "bf16" else None)
    notes = (f"{unknown:,} parameters of multi-token prediction are counted in BF16: their shapes are not known",) if unknown else ()
    total = sum(m.elements for m in table) + rest
    return Prediction(chosen.name, quantised + kept + 2 * rest, quantised, kept + 2 * rest, total, _status(chosen, model.architecture), error, notes)


def _status(chosen: Format, architecture: str) -> str:
    proven = _PROVEN.get(chosen.name, (architecture,))
    return chosen.status if chosen.status != EXACT or architecture in proven else FROM_SOURCE


def _not_in_table(model: Model, table: tuple[Matrix, ...], mtp: bool) -> tuple[int, int]:
    """Parameters of vision and of MTP blocks that are in no table; and those of MTP alone."""
    dropped = mtp and not model.n_nextn and not any(m.role == NEXTN for m in table)
    unknown = model.parameters.mtp if dropped else 0
    return model.parameters.vision + unknown, unknown


def _joined(a: Doubt | None, b: Doubt | None) -> Doubt | None:
    bands = [band for band in (a, b) if band is not None]
    return Doubt(sum(band.low for band in bands), sum(band.high for band in bands)) if bands else None


def _one(matrix: Matrix, chosen: Format, layout: Layout, architecture: str) -> int | None:
    """Bytes of one copy of the matrix; None where the format leaves it alone."""
    if matrix.role in chosen.kept:
        return None
    if matrix.role == ROUTER and chosen.name.startswith("mlx"):
        return _mlx_router(matrix, layout, architecture)
    return layout(matrix.n_out, matrix.n_in)


def _mlx_router(matrix: Matrix, layout: Layout, architecture: str) -> int | None:
    """mlx-lm's quant_predicate: routers at 8 bit where it asks for that, and none that is no nn.Linear."""
    if architecture.startswith(_ROUTER_AT_8_BIT):
        return layouts.mlx(Affine(8, 64))(matrix.n_out, matrix.n_in)
    return layout(matrix.n_out, matrix.n_in) if architecture.startswith(_ROUTER_IS_LINEAR) else None


def _layout_of(chosen: Format, model: Model) -> Layout:
    if chosen.name == "fp8":
        return layouts.fp8_block(_scale_bytes(model))
    return chosen.layout


def _scale_bytes(model: Model) -> int:
    return 4 if model.architecture in _F32_SCALES else 2


# --- a scheme's own numbers ------------------------------------------------------------------------


def _layout_of_scheme(scheme: Scheme, model: Model) -> Layout:
    """The format's layout with the scheme's bits, group and block."""
    affine = Affine(scheme.bits, scheme.group)
    made: Mapping[str, Callable[[], Layout]] = {
        "fp8": lambda: layouts.fp8_block(_scale_bytes(model), *scheme.block),
        "fp8-tensor": lambda: layouts.fp8_tensor(scheme.input_scale),
        "awq": lambda: layouts.awq(affine),
        "gptq": lambda: layouts.gptq(affine),
        "w4a16": lambda: layouts.pack_quantized(affine, scheme.symmetric),
        "nf4": lambda: layouts.nf4(scheme.double_quant),
    }
    if scheme.method == "mlx":
        return layouts.mlx(affine, scheme.format.removeprefix("mlx-") if "bit" not in scheme.format else "affine")
    make = made.get(scheme.format)
    return make() if make else parse(scheme.format).layout


def _kept_by(scheme: Scheme) -> Callable[[Matrix], bool]:
    """What the scheme's own list leaves alone, block by block asked once."""
    return lambda matrix: matrix.role != OTHER and scheme.leaves_alone(matrix.module)
