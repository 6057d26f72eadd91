"""Why a part has its size: the rule of ExLlamaV3 with this question's numbers put in."""

from collections.abc import Mapping

from tonnage.answer import Explanation
from tonnage.engines.exllamav3 import answer
from tonnage.errors import QuestionError, nearest
from tonnage.model.types import Model
from tonnage.question import Question

FORMULAS: Mapping[str, tuple[str, str]] = {
    "weights": (
        "weights",
        "bits x outputs x inputs / 8, both padded to 128, and 2 bytes per output and input; head 6 bits; embedding in host memory",
    ),
    "kv": ("keys and values", "KV heads x head x tokens, in pages of 256, at 16 bits or bits + 0.5"),
    "state": ("states", "4 bytes per element, and the convolutions' tails"),
    "runtime": ("what is held besides", "fitted: peaks of ten public runs less the parts above"),
}


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    if part not in FORMULAS:
        raise QuestionError(f"no part called {part!r}; there are {', '.join(FORMULAS)}", nearest(part, FORMULAS))
    told, (title, formula) = answer(question, model), FORMULAS[part]
    held = [(device.name, row.bytes) for device in told.devices for row in device.parts if row.part == part]
    steps = tuple(f"{name}: {nbytes:,} bytes" for name, nbytes in held) or ("nothing of it in this answer",)
    return Explanation(title, formula, steps, f"{sum(nbytes for _, nbytes in held):,} bytes", f"{told.engine}, read")
