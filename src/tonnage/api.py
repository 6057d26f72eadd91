"""The Python face: the same keys as everywhere, as keywords.

>>> import tonnage
>>> answer = tonnage.estimate("llama-3.1-8b-instruct", quant="Q4_K_M", context="32K")  # doctest: +SKIP
>>> answer.total_bytes  # doctest: +SKIP
"""

from typing import Any

from tonnage import estimation
from tonnage.answer import Estimate, Explanation
from tonnage.question import Question, from_dict
from tonnage.source import open_question


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


def _question(model: str | Question, keys: dict[str, Any]) -> Question:
    if isinstance(model, Question):
        if keys:
            raise TypeError("give a Question alone, or a model with keywords")
        return model
    return from_dict({"model": model, **keys})
