"""Why a part has its size: the rule of SGLang with this question's numbers put in."""

from collections.abc import Mapping

from tonnage.answer import Explanation
from tonnage.engines.sglang import answer
from tonnage.errors import QuestionError, nearest
from tonnage.model.types import Model
from tonnage.question import Question

FORMULAS: Mapping[str, tuple[str, str]] = {
    "weights": ("weights of every rank", "cut as vLLM cuts them: by heads and rows, vocabulary padded to 64"),
    "kv": ("keys and values of the question's requests", "users x (bytes a token of full layers x context + of sliding layers x (window + chunk))"),
    "state": ("states of the question's requests", "(3 x users with the radix cache, else users, + 1) x bytes of a request's states"),
    "runtime": ("context and buffers before the weights", "assumed: 0 to 1.5 GiB"),
}


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    if part not in FORMULAS:
        raise QuestionError(f"no part called {part!r}; there are {', '.join(FORMULAS)}", nearest(part, FORMULAS))
    told, (title, formula) = answer(question, model), FORMULAS[part]
    rows = [row for row in told.devices[0].parts if row.part == part]
    steps = (*(f"{told.devices[0].name}: {row.bytes:,} bytes" for row in rows), *(f"{kind}: {keeps}" for kind, _, keeps in told.caches))
    return Explanation(title, formula, steps, f"{sum(row.bytes for row in rows):,} bytes a rank", f"{told.engine}, read")
