"""(Question, Model) -> Estimate: the one function that every face calls. Pure."""

from importlib import import_module

from tonnage.answer import Estimate, Explanation
from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.verdict import judge

ENGINES = {"llama.cpp": "tonnage.engines.llamacpp"}
"""name -> package with `answer`, and `explain` in a module of its own; imported when first asked for"""

_SPELLINGS = {"llamacpp": "llama.cpp", "llama": "llama.cpp", "llama-cpp": "llama.cpp", "llama-server": "llama.cpp"}
DEFAULT_ENGINE = "llama.cpp"


def engine_of(question: Question) -> str:
    """The package of the engine that is asked about; UnsupportedError where there are no rules for it."""
    asked = (question.engine or DEFAULT_ENGINE).lower()
    package = ENGINES.get(_SPELLINGS.get(asked, asked))
    if package is None:
        raise UnsupportedError(f"no rules for engine {question.engine!r} yet; known: {', '.join(ENGINES)}", nearest(asked, ENGINES))
    return package


def estimate(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """What the model takes under the question's settings, device by device, and whether it fits."""
    package = engine_of(question)
    found: Estimate = import_module(package).answer(question, model, attached)
    if found.verdict is None:
        found = replace(found, verdict=judge(found.devices, int(found.question.get("margin") or 0)))
    if not question.device and not question.ram:
        return found
    from tonnage.pace import with_pace  # an answer without a device has no speed, and does not wait for it

    return with_pace(question, model, found, package)


def explain(question: Question, model: Model, part: str) -> Explanation:
    """Why a part has its size."""
    told: Explanation = import_module(engine_of(question) + ".explain").explain(question, model, part)
    return told
