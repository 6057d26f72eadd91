"""Why a part has its size, in engines whose rules are a line each: the formula, and the bytes that it comes to."""

from collections.abc import Callable, Mapping

from tonnage.answer import Estimate, Explanation
from tonnage.errors import QuestionError, nearest

Formulas = Mapping[str, tuple[str, str]]
"""part -> its name in words, and its formula"""

KEPT = ("kv", "state")
"""parts of which the answer's caches tell more"""


def explained(formulas: Formulas, part: str, ask: Callable[[], Estimate], *, of_a_rank: bool = False) -> Explanation:
    """The explanation of `part` in the answer that `ask` makes, of the first device alone where all ranks are alike.

    Raises QuestionError with the nearest names for a part there is none of.
    """
    if part not in formulas:
        raise QuestionError(f"no part called {part!r}; there are {', '.join(formulas)}", nearest(part, formulas))
    told, (title, formula) = ask(), formulas[part]
    devices = told.devices[:1] if of_a_rank else told.devices
    held = [(device.name, row.bytes) for device in devices for row in device.parts if row.part == part]
    steps = [f"{name}: {nbytes:,} bytes" for name, nbytes in held] or ["nothing of it in this answer"]
    if of_a_rank and part in KEPT:
        steps += [f"{kind}: {keeps}" for kind, _, keeps in told.caches]
    total = f"{sum(nbytes for _, nbytes in held):,} bytes{' a rank' if of_a_rank else ''}"
    return Explanation(title, formula, tuple(steps), total, f"{told.engine}, read")
