"""The question in MLX-LM's own words. Rules are those of mlx-lm 0.32.2, read from its wheel (models/cache.py, generate.py)."""

import re

from tonnage.engines.torch.frame import context_of
from tonnage.errors import QuestionError, RefusedError, UnsupportedError, nearest
from tonnage.frozen import dataclass
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.types import Budget, Device
from tonnage.model.types import Compressed, Model
from tonnage.quant import formats, schemes
from tonnage.quant.schemes import Scheme
from tonnage.question import Question

NEWEST = "0.32"
STEP = 256
"""tokens by which a cache grows"""
CHUNK = 2048
"""tokens of the prompt that are computed at a time (prefill_step_size)"""
DEFAULT_FORMAT = "mlx-4bit"
KV_BITS = {"auto": 16.0, "bfloat16": 16.0, "8": 8.5, "8bit": 8.5, "q8": 8.5, "4": 4.5, "4bit": 4.5, "q4": 4.5}
"""bits of a cached value: a scale and a bias of 16 bits per 64 where it is quantised"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What MLX-LM runs with."""

    version: str
    prediction: formats.Prediction
    context: int
    users: int
    chunk: int
    kv_bits: float


def resolve(question: Question, model: Model) -> Settings:
    """Fill in what the question leaves open."""
    version = (question.engine_version or NEWEST).removeprefix("v")
    if not re.fullmatch(r"0\.(2[89]|3[0-2])(?:\.\w{1,20})*", version):
        raise UnsupportedError(f"engine_version={question.engine_version!r}: rules are known of mlx-lm 0.28 to {NEWEST}")
    if any(isinstance(mixer, Compressed) for layer in model.layers for mixer in layer.mixers):
        raise UnsupportedError(f"MLX's cache of compressed attention ({model.architecture}) has no rules yet")
    dtype = (question.kv_cache_dtype or "auto").lower()
    if dtype not in KV_BITS:
        raise QuestionError(f"kv_cache_dtype={dtype}: MLX keeps 16 bits, or 8 or 4", nearest(dtype, KV_BITS))
    _refuse(question)
    stored, chunk = prediction_of(question, model), question.max_num_batched_tokens or CHUNK
    return Settings(version, stored, context_of(question, model), question.users or 1, chunk, KV_BITS[dtype])


def prediction_of(question: Question, model: Model) -> formats.Prediction:
    """The weights as they are stored: in the format asked for, the checkpoint's own of MLX, or 4 bit."""
    if model.basis == "file":
        raise UnsupportedError(f"mlx is not answered for GGUF files: name the model that {model.name} was made of")
    name = format_of(question, model)
    if isinstance(name, Scheme):
        return formats.predict_scheme(model, name, mtp=False)
    if formats.find(name) is None:
        known = ["bf16", *(row.name for row in formats.FORMATS.values() if "mlx" in row.engines)]
        raise UnsupportedError(f"mlx cannot load {name!r}: it takes {', '.join(known)}", nearest(name, known))
    refused = formats.refusal(name, "mlx")
    if refused is not None and formats.parse(name).name != "bf16":
        raise refused
    return formats.predict(model, name, mtp=False)


def format_of(question: Question, model: Model) -> str | Scheme:
    """The format asked for, the checkpoint's own of MLX, or 4 bit."""
    scheme = schemes.recognise(model.config) if question.quant in (None, "file") and model.config.get("quantization") else None
    if scheme is not None and scheme.method == "mlx":
        return scheme
    return question.quant if question.quant and question.quant.lower() != "file" else DEFAULT_FORMAT


def _refuse(question: Question) -> None:
    for gpu in budgets_of(question):
        if gpu.device.backends and "metal" not in gpu.device.backends:
            raise RefusedError(
                f"device={gpu.name}: MLX is answered for Apple's machines; {gpu.name} computes with {' or '.join(gpu.device.backends)}"
            )
    if len(budgets_of(question)) > 1:
        raise RefusedError("device: MLX computes on one machine; name one")


def device_of(question: Question) -> Budget:
    """The machine, or one without a limit."""
    return next(iter(budgets_of(question)), Budget(Device(name="Mac", kind="unified"), None, None, None))
