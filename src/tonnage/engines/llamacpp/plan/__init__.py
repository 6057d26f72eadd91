"""Our own placement: what goes where so that a token takes the least time and every device keeps its margin.

The search adds up a ledger (ledger.py, fill.py, search.py); the few that win are held against the
engine's own rules (check.py), and what these take more is reserved in the next round.
"""

from typing import NamedTuple

from tonnage.answer import Plan
from tonnage.engines.llamacpp import answer, gpus_of
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.plan.check import Checked, Task, hold, timed
from tonnage.engines.llamacpp.plan.figures import plan_of
from tonnage.engines.llamacpp.plan.layout import placed
from tonnage.engines.llamacpp.plan.ledger import Ledger, ledger_of
from tonnage.engines.llamacpp.plan.machine import Machine, machine_of
from tonnage.engines.llamacpp.plan.objective import DEPTH
from tonnage.engines.llamacpp.plan.rounds import Rounds
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.hardware.ram import parse_ram
from tonnage.model.active import expert_share
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question

SIMPLE = 1.002
"""how much slower a plan of plain -ngl and -ncmoe may be and still be preferred to one that lists tensors"""


class Planned(NamedTuple):
    """A plan: the question that it makes, the devices of all layers, and the figures that it was chosen by."""

    question: Question
    plan: Plan
    checked: Checked
    task: Task
    ledger: Ledger

    @property
    def tokens_per_second(self) -> float:
        """Modelled, with `task.depth` tokens in the cache."""
        return 1 / self.checked.seconds


def plan(
    question: Question, model: Model, attached: Attached = NOTHING, machine: Machine | None = None, *, within_block: bool = False
) -> Planned | None:
    """The best plan that keeps the context asked for; None where no placement fits.

    What the question says of the placement is not looked at. `within_block` lets matrices lie beside their block or on the host alone.
    Raises what `estimate` raises.
    """
    task = task_of(question, model, attached, machine)
    if within_block:
        task = task._replace(machine=task.machine._replace(within_block=True))
    if not task.machine.holds(least_bytes(task)):
        return None  # --fit would be walked through in vain, which takes seconds
    ledger = ledger_of(model, task.tensors, resolve(task.question, model), task.depth)
    found = _found(task, ledger)
    return None if found is None else Planned(found.question, plan_of(task, found), found, task, ledger)


def task_of(question: Question, model: Model, attached: Attached = NOTHING, machine: Machine | None = None) -> Task:
    """The question without the placement that it names, and the machine that it names."""
    question = placed(question, {})
    settings = resolve(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    depth = min(DEPTH, settings.cells) if question.depth is None else question.depth
    by_itself = answer(question, model, attached)
    margin = settings.build.fit_margin_bytes if question.margin is None else question.margin
    ram = parse_ram(question.ram).bandwidth if question.ram else None
    made = machine or machine_of(by_itself.devices, gpus_of(question, settings), ram, margin, settings.backend, expert_share(model) < 1)
    return Task(question, model, tensors, attached, made, depth, by_itself)


def least_bytes(task: Task) -> int:
    """Weights and cache with every layer on the host: no placement takes less on all devices together."""
    everywhere = Placement((HOST,) * (len(task.model.layers) + 1), (), 1, False, False)
    weights = weights_by_device(task.model, task.tensors, everywhere, False)
    cached = cache_by_device(task.model, resolve(task.question, task.model), everywhere)
    return sum(weights.values()) + sum(cached.values())


def _found(task: Task, ledger: Ledger) -> Checked | None:
    """The fastest that fits; of those nearly as fast the one with plain flags."""
    by_itself = hold(task, task.question, 0.0)
    found = [timed(task, by_itself)] if by_itself.fits(task.machine) else []
    if not found or len(task.machine.gpus) > 1:
        found += Rounds(task, ledger, by_itself).run()
    if not found:
        found = _as_fit_would(task)
    if not found:
        return None
    least = min(checked.seconds for checked in found)
    chosen = min((checked for checked in found if checked.seconds <= SIMPLE * least), key=_effort)
    return chosen if chosen.reads else timed(task, chosen)


def _as_fit_would(task: Task) -> list[Checked]:
    """What --fit decides, where it fits and nothing of ours does."""
    from tonnage.engines.llamacpp.plan.against import fitted  # it measures more than once: only where it is needed

    decided, theirs = fitted(task, keep_context=True)
    return [theirs] if decided.success and theirs.fits(task.machine) else []


def _effort(checked: Checked) -> tuple[int, float]:
    """How much there is to type, then how long a token takes."""
    asked = checked.question
    return (2 * bool(asked.override_tensor) + bool(asked.tensor_split), checked.seconds)
