"""The Python face: the same keys as everywhere, as keywords. All of it raises the errors of `tonnage.errors`.

>>> import tonnage
>>> answer = tonnage.estimate("llama-3.1-8b-instruct", quant="Q4_K_M", context="32K")  # doctest: +SKIP
>>> answer.total_bytes  # doctest: +SKIP
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from tonnage import estimation
from tonnage.answer import Estimate, Explanation
from tonnage.question import Question, from_dict, to_dict
from tonnage.source import open_question

if TYPE_CHECKING:
    from tonnage.comparison import Row
    from tonnage.document import Document


class Path(Protocol):
    """A path of `pathlib`, or any other that can be told as text."""

    def __fspath__(self) -> str:
        """The path as text."""


Asked = str | Path | Question
"""a model by name or path, that keywords say the rest about, or a whole question"""


def estimate(model: Asked, **keys: Any) -> Estimate:
    """What a model takes, device by device."""
    question, opened, attached = open_question(_question(model, keys))
    return estimation.estimate(question, opened, attached)


def explain(part: str, model: Asked, **keys: Any) -> Explanation:
    """Why `part` has its size."""
    question, opened, _ = open_question(_question(model, keys))
    return estimation.explain(question, opened, part)


def compare(model: Asked, engines: str | Iterable[str] | None = None, **keys: Any) -> "tuple[Row, ...]":
    """The same question asked of every engine, or of those that are named: need, what is taken, tokens and users."""
    from tonnage.comparison import compare as rows
    from tonnage.comparison import engines_of

    question, opened, attached = open_question(_question(model, keys))
    return rows(question, opened, attached, engines_of(engines or ()))


def plan(model: Asked, **keys: Any) -> "Document":
    """What goes where on the devices given, so that a token takes the least time: an answer with `plan`."""
    return ask("plan", model, **keys)


def fit(model: Asked, **keys: Any) -> "Document":
    """A row for every device of the catalogue, or for those that answer to `match`."""
    return ask("fit", model, **keys)


def quants(model: Asked, **keys: Any) -> "Document":
    """A row for every recipe of the quantiser: bytes, and bits per weight."""
    return ask("quants", model, **keys)


def max_context(model: Asked, **keys: Any) -> "Document":
    """The largest context that fits, tokens, as `found`; and what stops the next step, as `limit`."""
    return ask("max-context", model, **keys)


def max_users(model: Asked, **keys: Any) -> "Document":
    """How many requests at a time can each hold the context, as `found`."""
    return ask("max-users", model, **keys)


def best_quant(model: Asked, **keys: Any) -> "Document":
    """The recipe that keeps the most bits of those that fit, as `found`."""
    return ask("best-quant", model, **keys)


def ask(verb: str, *words: Asked, **keys: Any) -> "Document":
    """The answer of any verb of the command line, as its `--json` has it: `ask("speed", "qwen3-32b", device="RTX 4090")`."""
    from tonnage.document import document

    told, plain = {}, []
    for word in words:
        if isinstance(word, Question):
            told = to_dict(word)
        else:
            plain.append(_text(word))
    return document(verb, tuple(plain), {**told, **keys})


def _question(model: Asked, keys: dict[str, Any]) -> Question:
    if isinstance(model, Question):
        _alone(keys)
        return model
    return from_dict({"model": _text(model), **keys})


def _text(word: str | Path) -> str:
    # what is neither is refused where values are read
    return word.__fspath__() if hasattr(word, "__fspath__") else word


def _alone(keys: dict[str, Any]) -> None:
    if keys:
        raise TypeError("give a Question alone, or a model with keywords")
