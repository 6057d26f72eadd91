"""How a serving engine may share a model out over the devices that are named, and how many requests each way carries. Pure."""

from collections.abc import Iterator
from typing import Any

from tonnage.answer import Estimate
from tonnage.errors import NoFitError, QuestionError, RefusedError
from tonnage.estimation import judged
from tonnage.frozen import dataclass, replace
from tonnage.hardware.devices import find_all
from tonnage.model.types import NOTHING, Attached, Experts, Model
from tonnage.question import Question

ENGINES = ("vllm", "sglang")
KV_DTYPES = ("auto", "fp8")
"""types of cache that are tried where the question names none, the one that loses nothing first"""
GOOD = ("fits", "tight")


@dataclass(frozen=True, slots=True)
class Way:
    """One way to share a model out, and what it carries."""

    question: Question
    answer: Estimate
    requests: float
    """of the asked context at a time, all replicas together"""

    @property
    def flags(self) -> dict[str, Any]:
        """What the question says of it."""
        names = ("tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "kv_cache_dtype")
        return {name: getattr(self.question, name) for name in names}


def ways(question: Question, model: Model, attached: Attached = NOTHING) -> tuple[Way, ...]:
    """Every way that the engine takes, the best first: those that carry all users, without a lossy cache, in few stages; then by requests.

    Raises QuestionError where no devices are named, NoFitError where the engine takes none.
    """
    if not question.device:
        raise QuestionError('a plan needs devices: --device "8x H100"')
    found, refused = [], ""
    for asked in _asked(question, model):
        try:
            answer = judged(asked, model, attached)
        except RefusedError as error:
            refused = refused or str(error)
            continue
        told = answer.capacity or {}
        if told.get("concurrency") is not None:
            found.append(Way(asked, answer, float(told["concurrency"]) * int(told.get("replicas") or 1)))
    if not found:
        raise NoFitError(refused or f"{question.engine} tells no capacity for these devices")
    return tuple(sorted(found, key=lambda way: _rank(way, question.users or 1)))


def _rank(way: Way, users: int) -> tuple[Any, ...]:
    verdict = way.answer.verdict
    good = verdict is not None and verdict.word in GOOD and way.requests >= users
    lossless = way.question.kv_cache_dtype in (None, "auto")
    stages = way.question.pipeline_parallel or 1
    # stages wait for each other: they are taken where the model fits no other way
    return (not good, not lossless, stages, -way.requests) if good else (not good, False, 0, -way.requests)


def _asked(question: Question, model: Model) -> Iterator[Question]:
    """The question under every split that what it says leaves open."""
    devices = len(find_all(question.device or ()))
    experts = any(isinstance(layer.ffn, Experts) for layer in model.layers)
    kinds = (question.kv_cache_dtype,) if question.kv_cache_dtype else KV_DTYPES
    for tp in _powers(devices):
        for pp in _powers(devices // tp):
            dp = devices // (tp * pp)
            split: dict[str, Any] = {"tensor_parallel": tp, "pipeline_parallel": pp, "data_parallel": dp}
            if tp * pp * dp != devices or any(getattr(question, name) not in (None, n) for name, n in split.items()):
                continue
            # replicas share the experts out; ranks of one replica hold a part of each
            parallel = question.expert_parallel if question.expert_parallel is not None else -1 if experts and dp > 1 else None
            for kind in kinds:
                yield replace(question, **split, expert_parallel=parallel, kv_cache_dtype=kind)


def _powers(most: int) -> Iterator[int]:
    """1, 2, 4 ... and `most` itself where it is none of them."""
    n = 1
    while n <= most:
        yield n
        n *= 2
    if n // 2 != most and most > 0:
        yield most


