"""Which format an engine loads the weights in, and what it leaves in two bytes a weight."""

from collections.abc import Callable, Mapping

from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import dataclass
from tonnage.model.pieces import EMBEDDING, HEAD, NEXTN, OTHER, Piece
from tonnage.model.published import ROUTER
from tonnage.model.types import Model
from tonnage.quant import formats, schemes
from tonnage.quant.schemes import Scheme
from tonnage.question import Question


@dataclass(frozen=True, slots=True)
class Storage:
    """A format with its numbers; `scheme` is None for 16-bit weights."""

    name: str
    scheme: Scheme | None
    by_full_names: bool = False
    """the checkpoint's own list names modules in full, and what it does not name is quantised: vLLM's reading of FP8 configs"""

    def quantises(self, piece: Piece) -> bool:
        """Whether the format holds the piece in its own type."""
        if self.scheme is None or piece.role == OTHER:
            return False
        if self.by_full_names:
            return piece.role not in _NEVER and not _named(piece.module, self.scheme.ignore)
        if piece.module.startswith(VISION):
            return False
        return piece.role not in formats.parse(self.name).kept and not self.scheme.leaves_alone(piece.module)


VISION = "visual."
_NEVER = frozenset((EMBEDDING, HEAD, ROUTER, NEXTN))
"""what engines build without a quantiser"""


def _named(module: str, names: tuple[str, ...]) -> bool:
    """Whether the list holds the module's full name; of a vision tower, any name within it."""
    plain = [name.replace("language_model.", "") for name in names]
    if module.startswith(VISION):
        return any(name.removeprefix("model.").startswith((VISION, "vision_tower.")) for name in plain)
    return module in plain or module.replace("shared_experts", "shared_expert") in plain


_OF_FORMAT: Mapping[str, Callable[[], Scheme]] = {
    "fp8": lambda: Scheme("fp8", "fp8", 8, block=(128, 128)),
    "fp8-tensor": lambda: Scheme("fp8", "fp8-tensor", 8),
    "fp8-channel": lambda: Scheme("compressed-tensors", "fp8-channel", 8),
    "w8a8": lambda: Scheme("compressed-tensors", "w8a8", 8),
    "awq": lambda: Scheme("awq", "awq", 4, 128, symmetric=False),
    "gptq": lambda: Scheme("gptq", "gptq", 4, 128),
    "w4a16": lambda: Scheme("compressed-tensors", "w4a16", 4, 128),
    "nvfp4": lambda: Scheme("modelopt", "nvfp4", 4, 16, input_scale=True),
    "mxfp4": lambda: Scheme("mxfp4", "mxfp4", 4, 32),
    "nf4": lambda: Scheme("bitsandbytes", "nf4", 4, 64, double_quant=True),
    "int8": lambda: Scheme("bitsandbytes", "int8", 8),
}
"""formats by name, with the numbers that their usual uploaders take"""


def storage_of(question: Question, model: Model, engine: str) -> Storage:
    """The format asked for, else the one that the checkpoint is published in.

    Raises UnsupportedError where the engine cannot load it.
    """
    if model.basis == "file":
        raise UnsupportedError(f"{engine} is not answered for GGUF files: name the model that {model.name} was made of, and a format with --quant")
    if question.quant and question.quant.lower() != "file":
        return _asked(question.quant, engine)
    scheme = _published(model)
    if scheme is None:
        return Storage("bf16", None)
    name = scheme.format if formats.find(scheme.format) else "mlx-4bit" if scheme.method == "mlx" else scheme.format
    _loadable(name, engine)
    return Storage(name, scheme, by_full_names=engine == "vllm" and scheme.method == "fp8")


def _published(model: Model) -> Scheme | None:
    try:
        return schemes.recognise(model.config)
    except UnsupportedError as error:
        raise UnsupportedError(f"{model.name}: {error}; name a format with --quant, such as w4a16 or fp8") from None


def _asked(quant: str, engine: str) -> Storage:
    if formats.find(quant) is None:
        known = [row.name for row in formats.FORMATS.values() if engine in row.engines]
        raise UnsupportedError(f"{engine} cannot load {quant!r}: it takes {', '.join(known)}", nearest(quant, known))
    _loadable(quant, engine)
    name = formats.parse(quant).name
    if name == "bf16":
        return Storage(name, None)
    if name.startswith("mlx-"):
        return Storage(name, _mlx(name))
    return Storage(name, _OF_FORMAT[name]())


def _mlx(name: str) -> Scheme:
    word = name.removeprefix("mlx-")
    if word.endswith("bit"):
        return Scheme("mlx", name, int(word.removesuffix("bit")), 64)
    return Scheme("mlx", name, 8 if word == "mxfp8" else 4, 16 if word == "nvfp4" else 32)


def _loadable(name: str, engine: str) -> None:
    refused = formats.refusal(name, engine)
    if refused is not None:
        raise refused
