"""(Question, Model) -> Estimate: the one function that every face calls. Pure."""

from importlib import import_module

from tonnage.answer import Estimate, Explanation
from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.verdict import judge, placement_is_free

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


PLANNERS = {"tonnage.engines.llamacpp": "tonnage.engines.llamacpp.plan.offer"}
"""package of an engine -> module with `offered`, which is asked where a question does not fit as it is placed"""


def estimate(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """What the model takes under the question's settings, device by device, whether it fits, and what would if it does not."""
    found = judged(question, model, attached)
    package = engine_of(question)
    short = [device for device in found.devices if device.kind != "host" and (device.free_bytes or 0) < 0]
    if found.verdict is None or not short or package not in PLANNERS or not placement_is_free(question):
        return found
    told: Estimate = import_module(PLANNERS[package]).offered(question, model, attached, found, found.verdict)
    return told


def judged(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The same without a search for what else would fit: for those who ask about many devices."""
    found: Estimate = import_module(engine_of(question)).answer(question, model, attached)
    if found.verdict is not None:
        return found
    return replace(found, verdict=judge(found.devices, int(found.question.get("margin") or 0)))


def explain(question: Question, model: Model, part: str) -> Explanation:
    """Why a part has its size."""
    told: Explanation = import_module(engine_of(question) + ".explain").explain(question, model, part)
    return told
