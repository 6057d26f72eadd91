"""ExLlamaV3: EXL3 weights, a cache allocated for all tokens at the start, and what ten public runs held besides."""

from tonnage.answer import Band, DeviceAnswer, Estimate, Part, WeightsAnswer
from tonnage.engines.exllamav3.memory import SCALE_BITS, bits_of, cache_bytes, weights_bytes
from tonnage.engines.torch.frame import context_of, known, resolved
from tonnage.engines.torch.words import quoted
from tonnage.errors import QuestionError, RefusedError, UnsupportedError
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.types import Budget, Device
from tonnage.model.pieces import pieces
from tonnage.model.types import NOTHING, Attached, Compressed, Model
from tonnage.question import Question
from tonnage.units import MIB

NEWEST = "1.6.5"
BESIDE_MIB = (1248, 1298, 1310, 1342, 1446, 1598, 1598, 1790, 1866, 1878)
"""peak less weights, cache and states: ten runs of Qwen3.6-27B on an RTX 3090 (0.0.43 and 1.0.0, 4 and 6 bits, 4K to 40K tokens)"""
LIKELY = sum(BESIDE_MIB[4:6]) // 2 * MIB


def answer(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The estimate of a question; every error of the project may be raised."""
    bits, kv_bits = bits_of(quant_of(question)), kv_bits_of(question)
    _refuse(question, model)
    context, users = context_of(question, model), question.users or 1
    kv, state = cache_bytes(model, context * users, kv_bits)
    held, on_host = weights_bytes(model, bits)
    name = f"exl3-{bits:g}bpw"
    filled = {"model": question.model, "quant": name, "engine": "exllamav3", "engine_version": question.engine_version or NEWEST}
    asked, assumed = resolved(question, {**filled, "backend": "cuda", "context": context, "users": users, "margin": question.margin or 0})
    gpu = next(iter(budgets_of(question)), Budget(Device(name="GPU"), None, None, None))
    beside = Band(min(BESIDE_MIB) * MIB - LIKELY, max(BESIDE_MIB) * MIB - LIKELY)
    rows = (("weights", held), ("kv", kv), ("state", state * users))
    parts = [Part(part, nbytes, "rule", None, part) for part, nbytes in rows if nbytes]
    parts.append(Part("runtime", LIKELY, "fitted", beside, "runtime"))
    host = Part("weights", on_host, "rule", None, "weights", "allocated")
    return Estimate(
        question=asked,
        assumed=assumed,
        model=model,
        weights=_weights(model, name, held + on_host),
        devices=(
            DeviceAnswer(gpu.name, gpu.kind, known(model, parts), gpu.capacity_bytes, gpu.usable_bytes, gpu.deductions),
            DeviceAnswer("host", "host", known(model, (host,))),
        ),
        engine=f"ExLlamaV3 {question.engine_version or NEWEST}",
        command={"exllamav3": _command(model, name, context * users, kv_bits)},
        notes=("The cache is allocated for all tokens when the model is loaded.", "Vision and multi-token prediction are not counted."),
        caches=(("all layers", len(model.layers) - model.n_nextn, f"{kv:,} bytes of keys and values, {state:,} of states a sequence"),),
    )


def quant_of(question: Question) -> str | None:
    """The quant asked for; None for the default."""
    return None if question.quant in (None, "file") else question.quant


def kv_bits_of(question: Question) -> float:
    """Bits of a cached value: 16, or 2 to 8 and half a bit of scales."""
    word = (question.kv_cache_dtype or "auto").lower()
    if word in ("auto", "fp16", "bfloat16", "16"):
        return 16
    bits = word.removeprefix("q").removesuffix("bit")
    if bits.isdecimal() and 2 <= int(bits) <= 8:
        return int(bits) + SCALE_BITS
    raise QuestionError(f"kv_cache_dtype={question.kv_cache_dtype}: ExLlamaV3 keeps 16 bits, or 2 to 8")


def _refuse(question: Question, model: Model) -> None:
    if model.basis == "file":
        raise UnsupportedError(f"exllamav3 is not answered for GGUF files: name the model that {model.name} was made of")
    if any(isinstance(mixer, Compressed) for layer in model.layers for mixer in layer.mixers):
        raise UnsupportedError(f"ExLlamaV3's cache of compressed attention ({model.architecture}) has no rules yet")
    for gpu in budgets_of(question):
        if gpu.device.backends and "cuda" not in gpu.device.backends:
            raise RefusedError(f"device={gpu.name}: ExLlamaV3 computes on CUDA, {gpu.name} knows {' and '.join(gpu.device.backends)}")
    if len(budgets_of(question)) > 1:
        raise UnsupportedError("device: how ExLlamaV3 splits a model over several devices has no rules yet; name one")


def _weights(model: Model, name: str, nbytes: int) -> WeightsAnswer:
    parameters = sum(piece.elements for piece in pieces(model))
    return WeightsAnswer(nbytes, None, parameters, {name: (len(pieces(model)), nbytes)}, name, None, False, "rule")


def _command(model: Model, name: str, tokens: int, kv_bits: float) -> str:
    path = f"{model.name.rsplit('/', 1)[-1]}-{name}"
    kept = f" --cache_quant {int(kv_bits)}" if kv_bits < 16 else ""
    return f"python examples/chat.py --model_dir {quoted(path)} --cache_size {tokens}{kept}"
