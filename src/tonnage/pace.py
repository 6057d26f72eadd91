"""Speed and cost of an estimate: what its engine does for a token, on the devices that it was made for."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from tonnage.answer import Estimate, Plan
from tonnage.cost import Cost, cost_of
from tonnage.cost import as_dict as cost_dict
from tonnage.errors import QuestionError
from tonnage.frozen import dataclass, replace
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.ram import Ram, parse_ram
from tonnage.hardware.types import Device
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.speed.answer import NotKnownError, Speed, speed_of
from tonnage.speed.answer import as_dict as speed_dict

ENGINES = {f"tonnage.engines.{name}": f"tonnage.engines.{name}.work" for name in ("llamacpp", "vllm", "sglang", "mlx", "exllamav3")}
"""package of an engine -> module with `work(question, model)`, for the engines of which speeds are known"""


PLACES = ("tonnage.engines.llamacpp",)
"""engines that can leave layers in RAM"""


@dataclass(frozen=True, slots=True)
class Pace:
    """Speed, and what it costs where the power of the devices is known."""

    speed: Speed
    cost: Cost | None


def pace_of(question: Question, model: Model, estimate: Estimate, package: str, attached: Attached = NOTHING) -> Pace:
    """Speed and cost; NotKnownError where a bandwidth is missing, QuestionError where the placement does not run."""
    if not _runs(estimate):
        told = estimate.verdict.text if estimate.verdict else ""
        raise QuestionError(f"it does not run: {told}; see {'--n-cpu-moe, --gpu-layers' if package in PLACES else '--context, --users, --quant'}")
    _check(estimate, package)
    context = int(estimate.question["context"])
    if (question.depth or 0) > context:
        raise QuestionError(f"depth={question.depth}: a request holds {context:,} tokens; raise --context")
    devices = devices_of(question, estimate)
    ram = _ram(question)
    missing = 0.0 if estimate.plan else missing_of(estimate)
    module = import_module(ENGINES[package])
    work = module.work(_as_planned(question, estimate.plan), model)
    if attached.draft is not None and package in PLACES:
        work = module.with_draft(work, question, attached.draft)
    speed = speed_of(question, work, devices, ram, str(estimate.question["backend"]), missing)
    return Pace(speed, cost_of(question, speed, devices))


def with_pace(question: Question, model: Model, estimate: Estimate, package: str, attached: Attached = NOTHING) -> Estimate:
    """The estimate with speed and cost, where both its engine and its devices are known."""
    if not _runs(estimate) or question.train:
        return estimate
    try:
        found = pace_of(question, model, estimate, package, attached)
    except NotKnownError as error:
        known = any(device.bandwidth for device in devices_of(question, estimate))
        return replace(estimate, notes=(*estimate.notes, f"No speed: {error}.")) if known else estimate
    return replace(estimate, speed=speed_dict(found.speed), cost=cost_dict(found.cost) if found.cost else None)


def _check(estimate: Estimate, package: str) -> None:
    """NotKnownError where no speeds of the engine are known."""
    if package not in ENGINES:
        raise NotKnownError(f"no published runs of {estimate.engine} are known, and those of other engines say nothing of it")


def _runs(estimate: Estimate) -> bool:
    """Whether it runs as asked, or has a plan by which it does; how slow paging over the bus is, nobody has measured."""
    return bool(estimate.plan) or estimate.verdict is None or estimate.verdict.word not in ("too big", "spills")


_PLACED = ("gpu_layers", "n_cpu_moe", "cpu_moe", "override_tensor", "tensor_split")


def _as_planned(question: Question, plan: Plan | None) -> Question:
    """The question with the placement of its plan, if it has one."""
    if plan is None:
        return question
    flags: dict[str, Any] = {name: ",".join(value) if name == "override_tensor" else value for name, value in plan.flags.items()}
    return replace(question, **{**dict.fromkeys(_PLACED), **flags})


def devices_of(question: Question, estimate: Estimate) -> Sequence[Device]:
    """The devices that the question names; none for the CPU backend."""
    return [] if estimate.question["backend"] == "cpu" else [budget.device for budget in budgets_of(question)]


def _ram(question: Question) -> Ram | None:
    return parse_ram(question.ram) if question.ram else None


def missing_of(estimate: Estimate) -> float:
    """The share of the weights mapped into host memory that it cannot hold."""
    host = next((device for device in estimate.devices if device.kind == "host"), None)
    mapped = sum(part.bytes for part in host.parts if part.held == "mapped") if host else 0
    short = -(host.free_bytes or 0) - sum(part.bytes for part in host.parts if part.held == "reserved") if host else 0
    return min(max(short, 0) / mapped, 1.0) if mapped else 0.0
