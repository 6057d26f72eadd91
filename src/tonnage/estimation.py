"""(Question, Model) -> Estimate: the one function that every face calls. Pure."""

from importlib import import_module

from tonnage.answer import Band, DeviceAnswer, Estimate, Explanation, Part
from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.verdict import judge, placement_is_free

ENGINES = {
    "llama.cpp": "tonnage.engines.llamacpp",
    "vllm": "tonnage.engines.vllm",
    "sglang": "tonnage.engines.sglang",
    "transformers": "tonnage.engines.transformers",
    "mlx": "tonnage.engines.mlx",
    "exllamav3": "tonnage.engines.exllamav3",
}
"""name -> package with `answer`, and `explain` in a module of its own; imported when first asked for"""

_SPELLINGS = {"llamacpp": "llama.cpp", "llama": "llama.cpp", "llama-cpp": "llama.cpp", "llama-server": "llama.cpp", "mlx-lm": "mlx"}
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
    """What the model takes under the question's settings, device by device, whether it fits, what would if it does not, speed and cost."""
    found = planned(question, model, attached)
    if not question.device and not question.ram:
        return found
    from tonnage.pace import with_pace  # an answer without a device has no speed, and does not wait for it

    return with_pace(question, model, found, engine_of(question), attached)


def planned(question: Question, model: Model, attached: Attached = NOTHING, *, others: bool = True) -> Estimate:
    """The same without speed and cost: for those who ask about memory alone; without `others` a plan alone, no other settings that would fit."""
    found = judged(question, model, attached)
    if found.verdict is None or not _needs_a_plan(question, found):
        return found
    told: Estimate = import_module(PLANNERS[engine_of(question)]).offered(question, model, attached, found, found.verdict, others=others)
    return told


def looks_for_a_plan(question: Question, model: Model, attached: Attached = NOTHING) -> bool:
    """Whether `estimate` searches for a placement, which takes much longer than to judge one."""
    return _needs_a_plan(question, judged(question, model, attached))


def _needs_a_plan(question: Question, found: Estimate) -> bool:
    """Whether a GPU is short of memory, and its engine may place anew."""
    short = any(device.kind != "host" and (device.free_bytes or 0) < 0 for device in found.devices)
    return short and found.verdict is not None and engine_of(question) in PLANNERS and placement_is_free(question)


def judged(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The same without a search for what else would fit: for those who ask about many devices."""
    found: Estimate = import_module(engine_of(question)).answer(question, model, attached)
    if model.between is not None:
        found = _between(found, *(judged(question, bound, attached) for bound in model.between))
    if found.verdict is not None:
        return found
    return replace(found, verdict=judge(found.devices, int(found.question.get("margin") or 0), str(found.question.get("os"))))


def _between(found: Estimate, least: Estimate, most: Estimate) -> Estimate:
    """The answer, with bands that reach from the least to the most in every part."""
    devices = tuple(
        replace(device, parts=tuple(_part_between(part, low, high) for part in device.parts))
        for device, low, high in zip(found.devices, least.devices, most.devices, strict=True)
    )
    return replace(found, devices=devices)


def _part_between(part: Part, least: DeviceAnswer, most: DeviceAnswer) -> Part:
    low = min((_reach(other, "low") for other in least.parts if other.part == part.part), default=0)
    high = max((_reach(other, "high") for other in most.parts if other.part == part.part), default=part.bytes)
    own = part.error or Band(0, 0)
    band = Band(min(low - part.bytes, own.low), max(high - part.bytes, own.high))
    return replace(part, error=band) if band.low < band.high else part


def _reach(part: Part, end: str) -> int:
    return part.bytes + (int(getattr(part.error, end)) if part.error else 0)


def explain(question: Question, model: Model, part: str) -> Explanation:
    """Why a part has its size."""
    told: Explanation = import_module(engine_of(question) + ".explain").explain(question, model, part)
    return told
