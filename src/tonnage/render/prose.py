"""Sentences about an answer. Every figure in them comes from an estimate; where a condition does not hold, nothing is said."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tonnage.answer import Band, DeviceAnswer, Estimate
from tonnage.engines.llamacpp.runtime import HIGH, LOW, SEEN_MIB
from tonnage.glance import Fit, Glance
from tonnage.model.types import Attention, Experts, Model
from tonnage.render import numbers
from tonnage.render.headline import both, reserved_bytes
from tonnage.render.svg import short

WORDS = {
    "fits": "Fits",
    "tight": "Fits, but tightly",
    "offload": "Needs offload to RAM",
    "spills": "Spills into shared memory",
    "pages": "Reads from disk again and again",
    "too big": "Does not fit",
}
"""verdict -> what a chip says"""
ICONS = {"fits": "✓", "tight": "≈", "offload": "⇄", "spills": "↯", "pages": "⟳", "too big": "✕"}
KINDS = {
    "gated delta net": "Gated Delta Networks",
    "kda": "Kimi Delta Attention",
    "mamba": "Mamba",
    "mamba2": "Mamba-2",
    "short convolution": "short convolutions",
}
BASES = {
    "config": "computed from config.json by the engine's own rules",
    "file": "read from the header of the file",
    "assumed": "computed from the numbers that were given",
}


class Answered(NamedTuple):
    """A question that people ask, and its answer."""

    question: str
    answer: str


def name(model: Model) -> str:
    """The model without its publisher."""
    return model.name.rsplit("/", 1)[-1]


def title(estimate: Estimate) -> str:
    """The question as a headline."""
    quant = estimate.weights.recipe
    return f"How much memory does {name(estimate.model)} need" + ("?" if quant == "file" else f" at {quant}?")


def start_bytes(estimate: Estimate, kind: str) -> int:
    """What GPUs (`gpu`) or the host hold at the start: what is reserved for later is left out."""
    devices = [device for device in estimate.devices if (device.kind == "host") == (kind == "host")]
    return sum(device.total_bytes - reserved_bytes(device) for device in devices)


def band(devices: Sequence[DeviceAnswer]) -> Band | None:
    """How far the truth may lie from what is held at the start."""
    bands = [part.error for device in devices for part in device.parts if part.error and part.held != "reserved"]
    return Band(sum(b.low for b in bands), sum(b.high for b in bands)) if bands else None


def spread(found: Band | None) -> str:
    """`exact`, or how far it may be off, in GiB."""
    if found is None:
        return "exact to the byte"
    return f"\N{MINUS SIGN}{numbers.gib(-found.low)} to +{numbers.gib(found.high)} GiB"


def answer(estimate: Estimate) -> str:
    """The first sentence: the number, its error, and what it is about."""
    gpus = [device for device in estimate.devices if device.kind != "host"]
    with_what = f"with {estimate.engine} and {numbers.tokens(int(estimate.question['context']))} tokens of context."
    if not gpus:
        return f"{both(start_bytes(estimate, 'host'))} of host memory, {spread(band(estimate.devices))}, {with_what}"
    host = f", and {both(start_bytes(estimate, 'host'))} of host memory" if start_bytes(estimate, "host") else ""
    where = "on the GPU" if len(gpus) == 1 else f"on {len(gpus)} GPUs"
    return f"{both(start_bytes(estimate, 'gpu'))} {where}, {spread(band(gpus))}{host}, {with_what}"


def basis(estimate: Estimate) -> str:
    """Where the number comes from."""
    return BASES.get(estimate.model.basis, estimate.model.basis)


def chip(estimate: Estimate) -> tuple[str, str, str]:
    """(class, icon, words) of the verdict; empty words where no device was asked about."""
    if estimate.verdict is None:
        return "", "", ""
    word = estimate.verdict.word
    return word.replace(" ", "-"), ICONS.get(word, ""), WORDS.get(word, word)


def why(estimate: Estimate) -> str:
    """The verdict's sentence."""
    if estimate.verdict is None:
        return ""
    more = estimate.verdict.would_fit_with
    told = estimate.verdict.text[:1].upper() + estimate.verdict.text[1:] + "."
    return told + (f" Would fit with {', or '.join(more)}." if more and more[0] not in told else "")


def recommendation(estimate: Estimate, glance: Glance, pairs: Sequence[tuple[str, str]] = ()) -> Iterator[str]:
    """What to run it on: the smallest single devices that hold it, pairs, and what smaller memory would need."""
    if glance.fits:
        yield f"The smallest single {_noun(glance.fits[0])} that holds it is the {_names(glance.fits[0])}: {_spare(glance.fits[0])}."
        other = next((fit for fit in glance.fits if fit.device.kind != glance.fits[0].device.kind), None)
        if other:
            yield f"The smallest {_noun(other)} is the {_names(other)}: {_spare(other)}."
    else:
        yield "No single device of the catalogue holds it."
    for names, words in pairs:
        yield f"{names}: {words}."
    if glance.short:
        nearest = glance.short[0]
        least = f"; there {nearest.best_quant} is the best recipe that fits at this context" if nearest.best_quant else ""
        yield f"Just too small is the {_names(nearest)}, by {numbers.gib(-nearest.spare_bytes)} GiB{least}."


def _noun(fit: Fit) -> str:
    return "machine of unified memory" if fit.device.kind == "unified" else "card"


def _names(fit: Fit) -> str:
    more = len(fit.alike)
    return fit.device.name + (f" (or {more} other{'s' if more > 1 else ''} of its memory)" if more else "")


def _spare(fit: Fit) -> str:
    later = "" if fit.verdict == "fits" else ", tight once the server keeps prompts"
    return f"{numbers.gib(fit.spare_bytes)} GiB to spare beyond the engine's margin{later}, and a context of up to {short(fit.max_context)}"


# --- how it is calculated -------------------------------------------------------------------------


def calculation(estimate: Estimate) -> Iterator[str]:
    """The parts on the GPU in one paragraph, with the numbers put in."""
    parts = {part.part: part.bytes for device in estimate.devices if device.kind != "host" for part in device.parts}
    if not parts:
        return
    bits = estimate.weights.bits_per_weight
    yield f"{numbers.gib(parts.get('weights', 0))} GiB of weights: {estimate.weights.recipe} keeps {bits:.2f} bits a weight here, tensor by tensor."
    growing = [layer for layer in estimate.caches if "full" in layer[0] or "latent" in layer[0]]
    layers = sum(count for _, count, _ in estimate.caches)
    if "kv" in parts and growing and sum(count for _, count, _ in growing) < layers:
        n = sum(count for _, count, _ in growing)
        yield f"{numbers.gib(parts['kv'])} GiB of KV cache: {n} of {layers} layers keep keys and values of every token."
    elif "kv" in parts:
        yield f"{numbers.gib(parts['kv'])} GiB of KV cache, for all {layers} layers."
    if "state" in parts:
        yield f"{numbers.gib(parts['state'])} GiB of recurrent state, which does not grow with the context."
    if "compute" in parts:
        fitted = any(part.error for device in estimate.devices if device.kind != "host" for part in device.parts if part.part == "compute")
        how = "known within a band alone" if fitted else "the engine's own graph, walked as its allocator walks it"
        yield f"{numbers.gib(parts['compute'])} GiB of compute buffer: {how}."
    if "runtime" in parts:
        bases = {part.basis for device in estimate.devices for part in device.parts if part.part == "runtime"}
        told = f"as measured on {len(SEEN_MIB)} GPUs" if bases == {"fitted"} else "assumed to be as with CUDA"
        yield f"{numbers.gib(parts['runtime'])} GiB for the context and libraries of the backend, {told}."


def uncounted(estimate: Estimate) -> Iterator[str]:
    """What is not in the number."""
    if estimate.question.get("backend") == "cuda" and not any(part.part == "runtime" for device in estimate.devices for part in device.parts):
        seen = f"{numbers.gib(LOW)} to {numbers.gib(HIGH)} GiB per GPU"
        yield f"The CUDA context and its libraries ({seen}): they are counted as soon as a device is named."
    yield "Other programs on the same GPU; say what they take with in_use."
    later = sum(reserved_bytes(device) for device in estimate.devices)
    if later:
        kept = f"up to {numbers.gib(later)} GiB; it is listed, and not in the sums of the start"
        yield f"What the server may take of host memory later, as prompts are kept: {kept}."
    if estimate.model.parameters.vision:
        yield f"The vision projector ({numbers.parameters(estimate.model.parameters.vision)} parameters): a file of its own, counted with mmproj."
    if estimate.model.n_nextn and not estimate.question.get("speculative"):
        yield "The block of multi-token prediction: it is in the file, and loaded only for speculative decoding."


# --- questions that people ask ----------------------------------------------------------------------


def architecture(estimate: Estimate) -> str:
    """What the layers are, in a sentence."""
    kinds = ", ".join(f"{count} x {KINDS.get(kind, kind)}" for kind, count, _ in estimate.caches)
    model = estimate.model
    p = model.parameters
    experts = next((layer.ffn for layer in model.layers if isinstance(layer.ffn, Experts)), None)
    routed = f", {experts.used} of {experts.count} experts per token" if experts else ""
    active = f", {numbers.parameters(p.active)} active per token" if p.active < p.text else ""
    layers = f"{sum(count for _, count, _ in estimate.caches)} layers ({kinds}){routed}"
    return f"{numbers.parameters(p.text)} parameters of text{active}; {layers}; trained for {numbers.tokens(model.context)} tokens."


def recurrent(estimate: Estimate) -> Answered | None:
    """Whether it uses a mixer that does not grow, and what that saves."""
    kinds = [(kind, count) for kind, count, _ in estimate.caches if any(kind.startswith(word) for word in KINDS)]
    if not kinds:
        return None
    kind, count = kinds[0]
    told = KINDS[next(word for word in KINDS if kind.startswith(word))]
    layers = sum(n for _, n, _ in estimate.caches)
    parts = {part.part: part.bytes for device in estimate.devices for part in device.parts}
    growing = [layer for layer in estimate.model.layers if not layer.nextn and any(isinstance(m, Attention) and m.kv_heads for m in layer.mixers)]
    text = f"Yes: {count} of its {layers} layers. "
    if "state" in parts:
        text += f"They keep {numbers.gib(parts['state'])} GiB of state, the same at any context. "
    if "kv" in parts and growing and all(not m.window for layer in growing for m in layer.mixers if isinstance(m, Attention)):
        all_of_them = parts["kv"] * layers // len(growing)
        text += f"Only {len(growing)} layers keep keys and values: {numbers.gib(parts['kv'])} GiB of cache, "
        text += f"where {layers} such layers would keep {numbers.gib(all_of_them)}."
    return Answered(f"Does {name(estimate.model)} use {told}?", text.strip())


def versus(mine: Estimate, other: Estimate) -> Answered:
    """How two models compare at the same recipe and context."""
    a, b = start_bytes(mine, "gpu"), start_bytes(other, "gpu")
    cache_a, cache_b = _cache_bytes(mine), _cache_bytes(other)
    more = f"{numbers.gib(abs(b - a))} GiB {'more' if b > a else 'less'} than {name(mine.model)}"
    where = f"At {other.weights.recipe} and {numbers.tokens(int(other.question['context']))} tokens"
    sentences = [
        f"{where} {name(other.model)} takes {numbers.gib(b)} GiB on the GPU, {more}.",
        f"Cache and state are {numbers.gib(cache_b)} GiB of it, against {numbers.gib(cache_a)}.",
        f"It runs {_run(other)} parameters per token, against {_run(mine)}.",
    ]
    if other.model.context != mine.model.context:
        trained = f"{numbers.tokens(other.model.context)} tokens, {name(mine.model)} for {numbers.tokens(mine.model.context)}"
        sentences.append(f"It was trained for {trained}.")
    return Answered(f"How does {name(mine.model)} compare to {name(other.model)}?", " ".join(sentences))


def _cache_bytes(estimate: Estimate) -> int:
    return sum(part.bytes for device in estimate.devices if device.kind != "host" for part in device.parts if part.part in ("kv", "state"))


def _run(estimate: Estimate) -> str:
    p = estimate.model.parameters
    return f"all of {numbers.parameters(p.text)}" if p.active >= p.text else f"{numbers.parameters(p.active)} of {numbers.parameters(p.text)}"


def dense_instead(mine: Estimate, other: Estimate) -> Answered:
    """The dense sibling of a mixture of experts, or the other way round."""
    kind = "dense" if other.model.parameters.active >= other.model.parameters.text * 0.95 else "mixture of experts"
    found = versus(mine, other)
    return Answered(f"What about {name(other.model)} ({kind}) instead?", found.answer)


def experts_in_ram(mine: Estimate, every: Estimate, best: Estimate | None, card: str) -> Answered:
    """What keeping experts in RAM really saves: all of them, and as few as a card needs."""
    gpu, host = start_bytes(every, "gpu"), start_bytes(every, "host")
    active = numbers.parameters(mine.model.parameters.active)
    text = (
        f"There is no loading of the {active} active parameters alone: each token picks other experts, so all of them must be in some memory. "
        f"With every layer's experts in RAM the GPU holds {numbers.gib(gpu)} GiB, and host memory {numbers.gib(host)} GiB."
    )
    if best is not None and best.verdict and best.verdict.word in ("offload", "fits", "tight") and best.plan:
        text += f" On {card}: {best.verdict.text}"
        if best.speed:
            rate = best.speed["decode_tokens_per_second"]
            text += f", at {numbers.rough(rate['low'])} to {numbers.rough(rate['high'])} tokens per second with {best.question.get('ram')}"
        text += "."
    return Answered("What if the experts stay in RAM?", text)
