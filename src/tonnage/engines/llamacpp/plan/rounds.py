"""From ways of filling to plans that are held against the engine's rules, the most promising first.

What the engine takes besides weights and cache is known only after a walk; a way of filling learns it from its own.
"""

from typing import NamedTuple

from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.compute.periods import shortened
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan.check import Checked, Task, hold
from tonnage.engines.llamacpp.plan.fill import Filler, Way, splits_of
from tonnage.engines.llamacpp.plan.layout import Layout, flags, placed
from tonnage.engines.llamacpp.plan.ledger import Ledger
from tonnage.engines.llamacpp.plan.machine import Machine
from tonnage.engines.llamacpp.plan.search import Candidate, Counts, search
from tonnage.engines.llamacpp.splits import splits
from tonnage.errors import RefusedError
from tonnage.frozen import replace

CHECKS_ON_ONE, CHECKS_ON_SEVERAL, CHECKS_WITHOUT_SUCCESS = 3, 8, 12
"""layouts that are walked at most, on one GPU, on several, and where none has fitted yet"""

WORTH_ON_ONE, WORTH_ON_SEVERAL = 1.003, 1.001
"""a layout that promises no more than this over what is found is not walked"""

SURE = 0.99
"""a way whose promise is mostly kept is walked before one that promises so much more: filled from the first block on,
the host's matrices come in an order in which their copies share one place"""

HOPE = 0.92
"""share of the least reserve that a way not yet walked may need: which blocks' experts are on the host changes it by a few percent"""

UNLIMITED = 1 << 60
"""room of a GPU without a limit"""


class Reserve(NamedTuple):
    """Bytes of every GPU and of the host that are needed besides weights and cache."""

    gpus: tuple[int, ...]
    host: int


Learnt = tuple[Reserve, float]
"""what is known of a way: bytes that are needed besides, and pieces of the graph that a block on the host adds"""


class Rounds:
    """One search; `found` are the layouts that fit."""

    def __init__(self, task: Task, ledger: Ledger, by_itself: Checked) -> None:
        self.task = task
        self.ledger = ledger
        self.found: list[Checked] = []
        self.seen: set[Layout] = set()
        self.ways = _ways(ledger)
        self.least = _guess(ledger, by_itself, self.ways[0].largest)
        self.is_guess = True
        self.reserves: dict[Way, Reserve] = {}
        self.promised: dict[Way, tuple[Learnt, Candidate | None]] = {}
        self.strays: float | None = None

    def run(self) -> list[Checked]:
        """Walk what promises most until nothing promises more than what was found."""
        most = CHECKS_ON_SEVERAL if len(self.task.machine.gpus) > 1 else CHECKS_ON_ONE
        for tried in range(CHECKS_WITHOUT_SUCCESS):
            best = self._best()
            if best is None or (self.found and tried >= most):
                break
            self._walk(*best)
        return self.found

    def _best(self) -> tuple[Way, Candidate] | None:
        """The way that promises most, of those that are new and worth it."""
        found = min((checked.seconds for checked in self.found), default=None)
        worth = WORTH_ON_SEVERAL if len(self.task.machine.gpus) > 1 else WORTH_ON_ONE
        promising = []
        for way in self.ways:
            candidate = self._candidate(way)
            if candidate and candidate.layout not in self.seen and (found is None or candidate.seconds * worth < found):
                promising.append((way, candidate))
        return min(promising, key=lambda pair: pair[1].seconds * (SURE if pair[0].order == "first" else 1), default=None)

    def _candidate(self, way: Way) -> Candidate | None:
        """What a way promises, by what was learnt of it."""
        learnt = (self.reserves.get(way) or self._hoped(way), self.strays or 0.0)
        known = self.promised.get(way)
        if known is None or known[0] != learnt:
            near = known[1].layout.counts if known and known[1] else self._near()
            candidate = search(_filler(self.ledger, self.task.machine, *learnt), way, near)
            self.promised[way] = known = (learnt, candidate)
        return known[1]

    def _hoped(self, way: Way) -> Reserve:
        """A little less than the least that any layout needed; without the copy of a large matrix where none of these stays on the host."""
        if not self.least.gpus:
            return self.least
        first, *others = self.least.gpus
        saved = self.ways[0].largest if way.largest < self.ways[0].largest else 0
        hope = HOPE if self.ledger.has_experts else 1.0
        return Reserve((round(first * hope) - saved, *others), self.least.host)

    def _near(self) -> Counts | None:
        """All ways begin where the first one ended."""
        return next((candidate.layout.counts for _, candidate in self.promised.values() if candidate), None)

    def _walk(self, way: Way, candidate: Candidate) -> None:
        self.seen.add(candidate.layout)
        try:
            checked = self._held(candidate)
        except RefusedError:
            return  # placed so, the engine gives flash attention up, which the cache's type needs
        self._count_strays(candidate.layout, checked)
        if checked.fits(self.task.machine):
            self.found.append(checked)
        gpus = tuple(used - nbytes for used, nbytes in zip(checked.used, candidate.used, strict=True))
        reserve = Reserve(gpus, checked.host - self.ledger.host - self.ledger.movable + sum(candidate.used))
        self.reserves[way] = reserve
        if way.largest == self.ways[0].largest and ((self.is_guess and len(gpus) > 1) or sum(reserve.gpus) < sum(self.least.gpus)):
            self.least, self.is_guess = reserve, False

    def _held(self, candidate: Candidate) -> Checked:
        """The layout held against the rules; without pipeline parallelism where its copies do not fit."""
        layout, seconds = candidate.layout, candidate.seconds
        held = hold(self.task, placed(self.task.question, flags(self.ledger, layout)), seconds)
        if held.placement.pipeline and not held.fits(self.task.machine):
            return hold(self.task, placed(self.task.question, flags(self.ledger, replace(layout, unpiped=True))), seconds)
        return held

    def _count_strays(self, layout: Layout, held: Checked) -> None:
        """How many pieces of the graph a block on the host adds: the scheduler moves single operations of it to a GPU.

        Of blocks that repeat a few tell it.
        """
        if layout.counts[0] and self.strays is None:
            model, (settings, placement) = self.task.model, placement_of(held.question, self.task.model)
            trunk = zip(model.layers[: len(model.layers) - model.n_nextn], layout.blocks, layout.homes, strict=False)
            few = shortened([(layer.mixers, device, homes) for layer, device, homes in trunk])
            devices = [layout.blocks[i] for i in few]
            exact = splits(model, self.task.tensors, settings, placement, few)
            by_device = splits_of([*devices, layout.blocks[-1]], [layout.homes[i] for i in few])
            self.strays = (exact - by_device) / max(devices.count(HOST), 1)


def _ways(ledger: Ledger) -> list[Way]:
    """Every order; and those that keep large matrices once more in the hope that only small ones stay on the host."""
    sizes = sorted({unit.nbytes for block in ledger.blocks for unit in block.units}) or [0]
    orders = (("large", False), ("first", False), ("last", True), ("small", False))
    hopes = [Way("large", whole, sizes[-2]) for whole in (False, True) if len(sizes) > 1]
    return [*(Way(order, whole, sizes[-1]) for order, whole in orders), *hopes]


def _guess(ledger: Ledger, by_itself: Checked, largest: int) -> Reserve:
    """What the engine takes besides weights and cache where it places by itself, and on the first GPU a copy of one matrix of the host's."""
    layers = by_itself.placement.layers
    taken = [0] * by_itself.placement.devices
    for block, device in zip(ledger.blocks, layers, strict=False):
        taken[device] += block.core + block.unit_bytes
    taken[layers[-1]] += ledger.output
    gpus = tuple(used - nbytes + largest * (d == 0) for d, (used, nbytes) in enumerate(zip(by_itself.used, taken, strict=True)))
    return Reserve(gpus, by_itself.host)


def _filler(ledger: Ledger, machine: Machine, reserve: Reserve, strays: float) -> Filler:
    room = [_room(gpu.free_bytes, machine.margin + more) for gpu, more in zip(machine.gpus, reserve.gpus, strict=True)]
    return Filler(ledger, machine, room, None if machine.host.free_bytes is None else machine.host.free_bytes - reserve.host, strays)


def _room(free_bytes: int | None, less: int) -> int:
    return UNLIMITED if free_bytes is None else free_bytes - less
