"""Our own placement: what goes where so that a token takes the least time and every device keeps its margin.

The search adds up a ledger (ledger.py, fill.py, search.py); the few that win are held against the
engine's own rules (check.py), and what these take more is reserved in the next round.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tonnage.answer import Plan
from tonnage.engines.llamacpp import answer, gpus_of
from tonnage.engines.llamacpp.plan.check import Checked, Task, check
from tonnage.engines.llamacpp.plan.fill import Filler, splits_of
from tonnage.engines.llamacpp.plan.layout import Layout, flags, layers, placed
from tonnage.engines.llamacpp.plan.ledger import Ledger, ledger_of
from tonnage.engines.llamacpp.plan.machine import Machine, machine_of
from tonnage.engines.llamacpp.plan.objective import DEPTH
from tonnage.engines.llamacpp.plan.search import Candidate, search
from tonnage.engines.llamacpp.settings import Settings, resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question

ROUNDS = 6
"""layouts that are held against the engine's rules at most"""

SIMPLE = 1.002
"""how much slower a plan of plain -ngl and -ncmoe may be and still be preferred to one that lists tensors"""


UNLIMITED = 1 << 60
"""room of a GPU without a limit"""


class Planned(NamedTuple):
    """A plan: the question that it makes, the devices of all layers, and the figures that it was chosen by."""

    question: Question
    plan: Plan
    checked: Checked
    machine: Machine
    depth: int
    """tokens in the cache that its speed is modelled at"""


def plan(question: Question, model: Model, attached: Attached = NOTHING, machine: Machine | None = None) -> Planned | None:
    """The best plan that keeps the context asked for; None where no placement fits.

    What the question says of the placement is not looked at. Raises what `estimate` raises.
    """
    task = task_of(question, model, attached, machine)
    found = _found(task, ledger_of(model, task.tensors, resolve(task.question, model), task.depth))
    return None if found is None else _planned(task, *found)


def task_of(question: Question, model: Model, attached: Attached = NOTHING, machine: Machine | None = None) -> Task:
    """The question without the placement that it names, and the machine that it names."""
    question = placed(question, {})
    settings = resolve(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    depth = min(DEPTH, settings.cells) if question.depth is None else question.depth
    return Task(question, model, tensors, attached, machine or _machine(question, model, settings), depth)


def _machine(question: Question, model: Model, settings: Settings) -> Machine:
    margin = settings.build.fit_margin_bytes if question.margin is None else question.margin
    return machine_of(answer(question, model).devices, gpus_of(question, settings), None, margin)


Found = tuple[Checked, "Layout | None"]
"""a layout that fits; None for the placement that the engine makes by itself"""


def _found(task: Task, ledger: Ledger) -> Found | None:
    """The fastest that fits; of those nearly as fast the one with plain flags."""
    by_itself = check(task, task.question, 1 + len(task.machine.gpus))
    found: list[Found] = [(by_itself, None)] if by_itself.fits(task.machine) else []
    if not found or len(task.machine.gpus) > 1:
        found += _searched(task, ledger, by_itself)
    if not found:
        return None
    least = min(checked.seconds for checked, _ in found)
    return min((f for f in found if f[0].seconds <= SIMPLE * least), key=_effort)


def _effort(found: Found) -> tuple[int, float]:
    """How much there is to type, then how long a token takes."""
    asked = found[0].question
    return (2 * bool(asked.override_tensor) + bool(asked.tensor_split), found[0].seconds)


def _searched(task: Task, ledger: Ledger, by_itself: Checked) -> list[Found]:
    """Layouts that fit, by rounds: what the engine takes besides weights and cache is known better after each."""
    found: list[Found] = []
    seen: set[Layout] = set()
    reserve, host_reserve = _first_reserve(ledger, by_itself), by_itself.host
    for _ in range(ROUNDS):
        chosen = _worth_checking(ledger, search(_filler(ledger, task.machine, reserve, host_reserve)))
        if chosen is None or chosen.layout in seen:
            break
        seen.add(chosen.layout)
        layout, checked = _checked(task, ledger, chosen.layout)
        if checked.fits(task.machine):
            found.append((checked, layout))
        reserve = [used - nbytes for used, nbytes in zip(checked.used, chosen.used, strict=True)]
        host_reserve = checked.host - (ledger.host + ledger.movable - sum(chosen.used))
    return found


def _checked(task: Task, ledger: Ledger, layout: Layout) -> tuple[Layout, Checked]:
    """The layout held against the rules; without pipeline parallelism where its copies do not fit."""
    counted = splits_of(layout.blocks, layout.homes) if not layout.counts[0] else 0
    checked = check(task, placed(task.question, flags(ledger, layout)), counted)
    if checked.placement.pipeline and not checked.fits(task.machine):
        layout = replace(layout, unpiped=True)
        checked = check(task, placed(task.question, flags(ledger, layout)), counted)
    return layout, checked


def _worth_checking(ledger: Ledger, candidates: Sequence[Candidate]) -> Candidate | None:
    """The fastest, or one that is nearly as fast and needs no list of tensors."""
    for candidate in candidates:
        if candidate.seconds > SIMPLE * candidates[0].seconds:
            break
        if "override_tensor" not in flags(ledger, candidate.layout):
            return candidate
    return candidates[0] if candidates else None


def _first_reserve(ledger: Ledger, by_itself: Checked) -> list[int]:
    """What the engine takes besides weights and cache where it places by itself, and on the first GPU one matrix of the host's to compute with."""
    layers = by_itself.placement.layers
    taken = [0] * by_itself.placement.devices
    for block, device in zip(ledger.blocks, layers, strict=False):
        taken[device] += block.core + block.unit_bytes
    taken[layers[-1]] += ledger.output
    largest = max((unit.nbytes for block in ledger.blocks for unit in block.units), default=0)
    return [used - nbytes + largest * (d == 0) for d, (used, nbytes) in enumerate(zip(by_itself.used, taken, strict=True))]


def _filler(ledger: Ledger, machine: Machine, reserve: Sequence[int], host_reserve: int) -> Filler:
    room = [_room(gpu.free_bytes, machine.margin + more) for gpu, more in zip(machine.gpus, reserve, strict=True)]
    return Filler(ledger, machine, room, None if machine.host.free_bytes is None else machine.host.free_bytes - host_reserve)


def _room(free_bytes: int | None, less: int) -> int:
    return UNLIMITED if free_bytes is None else free_bytes - less


def _planned(task: Task, checked: Checked, layout: Layout | None) -> Planned:
    asked, placement = checked.question, checked.placement
    experts = placement.layers[:-1] if layout is None else layers(layout)
    told: dict[str, object] = {"gpu_layers": sum(device >= 0 for device in placement.layers)}
    told |= {key: value for key, value in (("n_cpu_moe", asked.n_cpu_moe), ("cpu_moe", asked.cpu_moe)) if value}
    if asked.tensor_split:
        told["tensor_split"] = list(asked.tensor_split)
    if asked.override_tensor:
        told["override_tensor"] = asked.override_tensor.split(",")
    return Planned(asked, Plan(placement.layers, experts, told), checked, task.machine, task.depth)
