"""What a large language model weighs in memory, where it fits, how fast it runs and what that costs."""

from typing import TYPE_CHECKING, Any

from tonnage.version import __version__

if TYPE_CHECKING:
    from tonnage.answer import Band, DeviceAnswer, Estimate, Explanation, Part, Plan, Verdict
    from tonnage.api import ask, best_quant, compare, estimate, explain, fit, max_context, max_users, plan, quants
    from tonnage.document import Document
    from tonnage.errors import CorruptError, NoFitError, QuestionError, RefusedError, SourceError, TonnageError, UnsupportedError
    from tonnage.question import Question

__all__ = [
    "Band",
    "CorruptError",
    "DeviceAnswer",
    "Document",
    "Estimate",
    "Explanation",
    "NoFitError",
    "Part",
    "Plan",
    "Question",
    "QuestionError",
    "RefusedError",
    "SourceError",
    "TonnageError",
    "UnsupportedError",
    "Verdict",
    "__version__",
    "ask",
    "best_quant",
    "compare",
    "estimate",
    "explain",
    "fit",
    "max_context",
    "max_users",
    "plan",
    "quants",
]

_ROOMS = {
    "tonnage.answer": ("Band", "DeviceAnswer", "Estimate", "Explanation", "Part", "Plan", "Verdict"),
    "tonnage.api": ("ask", "best_quant", "compare", "estimate", "explain", "fit", "max_context", "max_users", "plan", "quants"),
    "tonnage.document": ("Document",),
    "tonnage.errors": ("CorruptError", "NoFitError", "QuestionError", "RefusedError", "SourceError", "TonnageError", "UnsupportedError"),
    "tonnage.question": ("Question",),
}


def __getattr__(name: str) -> Any:
    """A public name, its module imported when the name is first asked for."""
    from importlib import import_module

    for room, names in _ROOMS.items():
        if name in names:
            value = globals()[name] = getattr(import_module(room), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
