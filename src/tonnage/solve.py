"""The question turned round: what is the most that fits. Searches over estimates; pure.

Memory grows with context and users, so the last value that fits is found between one that does and one that does not;
the value that is answered and the one behind it are estimated in full.
"""

from collections.abc import Callable, Sequence
from typing import Any

from tonnage.answer import Estimate
from tonnage.errors import NoFitError, QuestionError, UnsupportedError
from tonnage.estimation import judged
from tonnage.frozen import dataclass, replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.verdict import slack, tightest

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

Spare = Callable[[int], int]
"""value -> bytes to spare beyond the margin on the device that has the least; negative where it does not fit"""


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a question turned round."""

    value: int | str
    limit: str
    """what stops the next step"""
    answer: Estimate


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
            changed: dict[str, Any] = {self.key: value}
            self.made[value] = judged(replace(self.question, **changed), self.model, self.attached)
        return self.made[value]

    def spare(self, n: int) -> int:
        """Bytes to spare at `n` units."""
        return _spare(self.at(n))


def _spare(answer: Estimate) -> int:
    found = slack(answer.devices, int(answer.question.get("margin") or 0))
    if found is None:
        raise QuestionError("no device has a limit: name one with --device, such as --device 24GB, or the host's with --ram")
    return found


def max_context(question: Question, model: Model, attached: Attached = NOTHING) -> Found:
    """The largest context that one request can have, a multiple of 256 tokens, the model's own limit at most.

    Raises NoFitError where not even 256 tokens fit.
    """
    if question.n_ctx is not None:
        raise QuestionError("n_ctx is what is looked for: leave it out, and say for how many --users")
    asked = _Asked(replace(question, context=None), model, attached, "context", STEP)
    most = max(model.context // STEP, 1)
    n = largest(asked.spare, 1, most, 1 if _hopeless(asked.at(most)) else STRAIGHT_FROM)
    if n < 1:
        raise NoFitError(f"not even {STEP} tokens fit: {_short(asked.at(1))}")
    return Found(n * STEP, _limit(asked, n, most, f"{model.context:,} tokens are all that the model was trained for", "tokens"), asked.at(n))


def max_users(question: Question, model: Model, attached: Attached = NOTHING) -> Found:
    """The most requests at the same time that can each hold the context."""
    asked = _Asked(replace(question, users=None), model, attached, "users")
    n = largest(asked.spare, 1, MOST_USERS)
    if n < 1:
        raise NoFitError(f"not even one request fits: {_short(asked.at(1))}")
    own = f"llama.cpp takes {MOST_USERS} slots at most" if asked.at(n).question.get("slots") else f"more than {MOST_USERS} are not looked for"
    return Found(n, _limit(asked, n, MOST_USERS, own, "users"), asked.at(n))


def best_quant(question: Question, model: Model, attached: Attached = NOTHING, quants: Sequence[str] = QUANTS) -> Found:
    """The recipe that keeps the most bits of those that fit; UnsupportedError where the model comes in one quant alone."""
    if model.basis == "file":
        raise UnsupportedError(f"{model.name} is a file in one quant; name the model that it was made of")
    asked = _Asked(replace(question, quant=None), model, attached, "quant")
    known = [name for name in quants if _takes(asked, name)]
    if not known:
        asked.of(quants[0])  # what refuses them all says why
    known.sort(key=lambda name: asked.of(name).weights.tensor_bytes)
    sizes = [asked.of(name) for name in known]
    n = largest(lambda i: _spare(sizes[i]), 0, len(known) - 1)
    if n < 0:
        raise NoFitError(f"not even {known[0]} fits: {_short(sizes[0])}")
    limit = f"{known[n + 1]}: {_short(sizes[n + 1])}" if n + 1 < len(known) else f"{known[n]} is as the model is published"
    return Found(known[n], limit, sizes[n])


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
