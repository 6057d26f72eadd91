"""The Python face: the same keys as everywhere, as keywords.

>>> import tonnage
>>> answer = tonnage.estimate("llama-3.1-8b-instruct", quant="Q4_K_M", context="32K")  # doctest: +SKIP
>>> answer.total_bytes  # doctest: +SKIP
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tonnage import estimation
from tonnage.answer import Estimate, Explanation
from tonnage.question import Question, from_dict
from tonnage.source import open_question

if TYPE_CHECKING:
    from tonnage.comparison import Row


def estimate(model: str | Question, **keys: Any) -> Estimate:
    """What a model takes: `model` is a question, or a name or path that `keys` say the rest about.

    Raises errors of `tonnage.errors`.
    """
    question, opened, attached = open_question(_question(model, keys))
    return estimation.estimate(question, opened, attached)


def explain(part: str, model: str | Question, **keys: Any) -> Explanation:
    """Why `part` has its size."""
    question, opened, _ = open_question(_question(model, keys))
    return estimation.explain(question, opened, part)


def compare(model: str | Question, engines: Iterable[str] | None = None, **keys: Any) -> "tuple[Row, ...]":
    """The same question asked of every engine, or of those that are named: need, what is taken, tokens and users."""
    from tonnage.comparison import compare as rows
    from tonnage.estimation import ENGINES

    question, opened, attached = open_question(_question(model, keys))
    return rows(question, opened, attached, tuple(engines or ENGINES))


def _question(model: str | Question, keys: dict[str, Any]) -> Question:
    if isinstance(model, Question):
        if keys:
            raise TypeError("give a Question alone, or a model with keywords")
        return model
    return from_dict({"model": model, **keys})
