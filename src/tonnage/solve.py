"""The question turned round: what is the most that fits. Searches over estimates; pure.

Memory grows with context and users, so the last value that fits is found between one that does and one that does not;
the value that is answered and the one behind it are estimated in full. On several GPUs layers are shared out by hand where that
holds more than the engine's own split.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from tonnage.answer import Estimate
from tonnage.errors import NoFitError, QuestionError, UnsupportedError
from tonnage.estimation import DEFAULT_ENGINE, ENGINES, engine_of, judged, planned
from tonnage.frozen import dataclass, replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.quant.recipes import ladder, usual
from tonnage.question import Question
from tonnage.verdict import judge, placement_is_free, slack, tightest

STEP = 256
"""tokens: llama.cpp rounds every context up to a multiple of it"""
MOST_USERS = 256

STRAIGHT_FROM = 8
"""steps: from 2048 tokens on a batch is as large as engines make it by default, and memory grows by the cache and its masks alone"""

GROWING = ("kv", "compute")
"""parts that are larger with a longer context"""

GUESSES = 6
"""steps that follow the slope before the search halves what is left"""

QUANTS = (
    "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_L", "Q3_K_M", "IQ3_M", "Q3_K_S", "IQ3_XXS", "Q2_K", "IQ2_M",
    "IQ2_S", "IQ2_XXS", "IQ1_M", "IQ1_S",
)  # fmt: skip
"""recipes that people publish; which is best is told by the bits that a model keeps in each"""

RUNGS = {"tonnage.engines.llamacpp": "tonnage.engines.llamacpp.plan.rungs"}
"""package of an engine -> module with `rungs` and `least`, for the engines that run with a part of a model in host memory"""

SPLITS = {"tonnage.engines.llamacpp": "tonnage.engines.llamacpp.plan.widest"}
"""package of an engine -> module with `widest`, for the engines whose layers can be shared out by hand"""

Spare = Callable[[int], int]
"""value -> bytes to spare beyond the margin on the device that has the least; negative where it does not fit"""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question turned round."""

    value: int | str
    limit: str
    """what stops the next step"""
    answer: Estimate
    split: str = ""
    """how layers are shared out by hand; empty where they lie as the engine or the question places them"""
    by_itself: int | str | None = None
    """where layers are shared out by hand: the value that the engine's own split holds; 0 or None for none"""


def largest(spare: Spare, low: int, high: int, straight_from: int | None = None) -> int:
    """The largest of low..high with something to spare; low - 1 where there is none. `spare` must not grow.

    It follows the straight line between the two ends, which memory nearly is, and halves where that gets it nowhere.
    The line begins at `straight_from` where there is something to spare.
    """
    at_high = spare(high)
    if at_high >= 0:
        return high
    begin = low if straight_from is None else min(max(straight_from, low), high)
    at_low = spare(begin)
    if at_low < 0 and begin > low:
        high, at_high, begin, at_low = begin, at_low, low, spare(low)
    if at_low < 0:
        return low - 1
    low = begin
    for guesses in range(high - low):
        if high - low <= 1:
            break
        straight = low + at_low * (high - low) // (at_low - at_high)
        middle = min(max(straight, low + 1), high - 1) if guesses < GUESSES else (low + high) // 2
        at_middle = spare(middle)
        if at_middle >= 0:
            low, at_low = (middle, at_middle)
        else:
            high, at_high = (middle, at_middle)
    return low


class _Asked:
    """Estimates of one question with one key changed, each made once."""

    def __init__(self, question: Question, model: Model, attached: Attached, key: str, unit: int = 1) -> None:
        self.question, self.model, self.attached, self.key, self.unit = question, model, attached, key, unit
        self.made: dict[Any, Estimate] = {}

    def at(self, n: int) -> Estimate:
        """The estimate with the key at `n` units."""
        return self.of(n * self.unit)

    def of(self, value: int | str) -> Estimate:
        """The estimate with the key at `value`."""
        if value not in self.made:
            self.made[value] = judged(self.question_of(value), self.model, self.attached)
        return self.made[value]

    def question_of(self, value: int | str) -> Question:
        """The question with the key at `value`."""
        changed: dict[str, Any] = {self.key: value}
        return replace(self.question, **changed)

    def spare(self, n: int) -> int:
        """Bytes to spare at `n` units."""
        return _spare(self.at(n))


def _spare(answer: Estimate) -> int:
    found = slack(answer.devices, int(answer.question.get("margin") or 0))
    if found is None:
        raise QuestionError("no device has a limit: name one with --device, such as --device 24GB, or the host's with --ram")
    return found


def max_context(question: Question, model: Model, attached: Attached = NOTHING, *, hints: bool = True) -> Found:
    """The largest context that one request can have, a multiple of 256 tokens, the model's own limit at most.

    Raises NoFitError where not even 256 tokens fit; with `hints` it says what would make them fit, which takes longer.
    """
    if question.n_ctx is not None:
        raise QuestionError("n_ctx is what is looked for: leave it out, and say for how many --users")
    asked = _Asked(replace(question, context=None), model, attached, "context", STEP)
    most = max(model.context // STEP, 1)
    n = largest(asked.spare, 1, most, 1 if _hopeless(asked.at(most)) else STRAIGHT_FROM)
    own = f"{model.context:,} tokens are all that the model was trained for"
    by_hand = _by_hand(asked, n, most, own, "tokens")
    if by_hand:
        return by_hand
    if n < 1:
        otherwise = _otherwise(asked, most, f"{most * STEP:,} tokens") if hints else ""
        raise NoFitError(f"not even {STEP} tokens fit: {_short(asked.at(1))}{otherwise}")
    return Found(n * STEP, _limit(asked, n, most, own, "tokens"), asked.at(n))


def max_users(question: Question, model: Model, attached: Attached = NOTHING) -> Found:
    """The most requests at the same time that can each hold the context."""
    asked = _Asked(replace(question, users=None), model, attached, "users")
    n = largest(asked.spare, 1, MOST_USERS)
    own = f"llama.cpp takes {MOST_USERS} slots at most" if asked.at(max(n, 1)).question.get("slots") else f"more than {MOST_USERS} are not looked for"
    by_hand = _by_hand(asked, n, MOST_USERS, own, "users")
    if by_hand:
        return by_hand
    if n < 1:
        raise NoFitError(f"not even one request fits: {_short(asked.at(1))}{_otherwise(asked, 1, 'one')}")
    return Found(n, _limit(asked, n, MOST_USERS, own, "users"), asked.at(n))


def quants_of(question: Question) -> tuple[str, ...]:
    """What the engine of a question can be asked for: recipes, widths, or formats of safetensors."""
    from tonnage.quant import formats

    engine = next(name for name, package in ENGINES.items() if package == engine_of(question))
    if engine == DEFAULT_ENGINE:
        return QUANTS
    if engine == "exllamav3":
        return tuple(f"exl3-{bits}.0bpw" for bits in range(8, 1, -1))
    return tuple(row.name for row in formats.FORMATS.values() if engine in row.engines)


def best_quant(question: Question, model: Model, attached: Attached = NOTHING, quants: Sequence[str] = ()) -> Found:
    """The recipe that keeps the most bits of those that fit, of all that the engine takes where `quants` names none.

    Raises UnsupportedError where the model comes in one quant alone.
    """
    quants = quants or quants_of(question)
    if model.basis == "file":
        raise UnsupportedError(f"{model.name} is a file in one quant; name the model that it was made of")
    asked = _Asked(replace(question, quant=None), model, attached, "quant")
    types = [tensor.type for tensor in model.tensors]
    known = [name for name in ladder(types, quants) if _takes(asked, name)] or [name for name in quants if _takes(asked, name)]
    if not known:
        asked.of(quants[0])  # what refuses them all says why
    # of those that store the same bytes, as MXFP4 and BF16 do for a model without experts, the one that is listed first is meant
    by_bytes = {asked.of(name).weights.tensor_bytes: name for name in reversed(known)}
    known = [by_bytes[nbytes] for nbytes in sorted(by_bytes)]
    sizes = [asked.of(name) for name in known]
    n = largest(lambda i: _spare(sizes[i]), 0, len(known) - 1)
    by_hand = _better_by_hand(asked, known, n)
    if by_hand:
        return by_hand
    if n < 0:
        raise NoFitError(f"not even {known[0]} fits: {_short(sizes[0])}{_otherwise(asked, usual(types), usual(types))}")
    limit = f"{known[n + 1]}: {_short(sizes[n + 1])}" if n + 1 < len(known) else f"{known[n]} is as the model is published"
    return Found(known[n], limit, sizes[n])


def in_ram(question: Question, model: Model, attached: Attached = NOTHING) -> str:
    """What of the model has to lie in RAM, in words, so that the question fits; empty where nothing helps or the question places it itself."""
    package = engine_of(question)
    if package not in RUNGS or not question.device or not placement_is_free(question):
        return ""
    found = judged(question, model, attached)
    gpus = [device for device in found.devices if device.kind != "host"]
    if len(gpus) == 1:
        module = import_module(RUNGS[package])
        rung = module.least(module.rungs(question, model, attached), found)
        return str(rung) if rung else ""
    told = planned(question, model, attached, others=False)
    return told.verdict.would_fit_with[0] if gpus and told.plan and told.verdict else ""


def _otherwise(asked: "_Asked", value: int | str, what: str) -> str:
    """What would make a value fit, behind the error that says that none does."""
    question = asked.question_of(value if isinstance(value, str) else value * asked.unit)
    words = in_ram(question, asked.model, asked.attached)
    return f"; with {words} {what} {'fit' if what.endswith('tokens') else 'fits'}: see `tonnage plan`" if words else ""


def _by_hand(asked: "_Asked", n: int, most: int, own: str, what: str) -> Found | None:
    """More than `n`, with the layers shared out by hand over several GPUs; None where that holds no more."""
    if n >= most or not _can_be_shared(asked.at(max(n, 1)), asked.question):
        return None
    module = import_module(SPLITS[engine_of(asked.question)])
    found = module.widest(lambda n: asked.question_of(n * asked.unit), 1, most, asked.model, asked.attached)
    if found is None or found.value <= n:
        return None
    limit = own if found.value >= most else f"{(found.value + 1) * asked.unit:,} {what}: no way to share the layers out holds them"
    by_itself = max(n, 0) * asked.unit
    return Found(found.value * asked.unit, limit, _with_verdict(found.answer), module.words(found.split), by_itself)


def _can_be_shared(found: Estimate, question: Question) -> bool:
    """Whether there are several GPUs, and the question leaves it to the engine what goes where."""
    several = sum(device.kind != "host" for device in found.devices) > 1
    return several and engine_of(question) in SPLITS and placement_is_free(question) and question.split_mode in (None, "layer")


def _with_verdict(found: Estimate) -> Estimate:
    return replace(found, verdict=judge(found.devices, int(found.question.get("margin") or 0), str(found.question.get("os"))))


def _better_by_hand(asked: "_Asked", known: Sequence[str], n: int) -> Found | None:
    """A recipe above the n-th, with the layers shared out by hand over several GPUs; None where that holds none."""
    if n + 1 >= len(known) or not _can_be_shared(asked.of(known[n + 1]), asked.question):
        return None
    module = import_module(SPLITS[engine_of(asked.question)])
    best: Found | None = None
    for i in range(n + 1, len(known)):
        found = module.widest(lambda _, i=i: asked.question_of(known[i]), 1, 1, asked.model, asked.attached)
        if found is None:
            return best
        limit = f"{known[i + 1]}: no way to share the layers out holds it" if i + 1 < len(known) else f"{known[i]} is as the model is published"
        best = Found(known[i], limit, _with_verdict(found.answer), module.words(found.split), known[n] if n >= 0 else None)
    return best


def _takes(asked: _Asked, name: str) -> bool:
    try:
        asked.of(name)
    except UnsupportedError:
        return False
    return True


def _limit(asked: _Asked, n: int, most: int, own: str, what: str) -> str:
    return own if n >= most else f"{(n + 1) * asked.unit:,} {what}: {_short(asked.at(n + 1))}"


def _hopeless(answer: Estimate) -> bool:
    """Whether what does not grow with the context is too much already."""
    kept = [replace(device, parts=tuple(part for part in device.parts if part.part not in GROWING)) for device in answer.devices]
    return (slack(kept, int(answer.question.get("margin") or 0)) or 0) < 0


def _short(answer: Estimate) -> str:
    return tightest(answer.devices, int(answer.question.get("margin") or 0))
