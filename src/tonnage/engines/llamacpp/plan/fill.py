"""How one way of sharing out the blocks is filled: which matrices of the feed-forward parts each device can hold.

Blocks bring their attention and cache; what room is left takes matrices, whole parts first, then single
ones, then those of other devices' blocks: what is read most slowly otherwise.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan.ledger import Ledger, Unit
from tonnage.engines.llamacpp.plan.machine import Machine
from tonnage.engines.llamacpp.plan.objective import SPLIT_SECONDS


class Way(NamedTuple):
    """How a layout is filled."""

    order: str
    """which blocks keep their matrices before others"""
    whole: bool
    """whether parts of a block stay together, where the block is"""
    largest: int
    """bytes of the largest matrix that may stay on the host"""


class Filled(NamedTuple):
    """Homes of all matrices, and what they come to."""

    homes: tuple[tuple[int, ...], ...]
    seconds: float
    used: tuple[int, ...]
    """bytes on every GPU"""
    host_over: int
    """bytes beyond what host memory holds; 0 where it holds them"""


class Filler:
    """Fills for one ledger and machine; `room` are the bytes of every GPU and of the host that weights and cache may take.

    `strays` are pieces of the graph that every block on the host adds, besides what its matrices tell.
    """

    def __init__(self, ledger: Ledger, machine: Machine, room: Sequence[int], host_room: int | None, strays: float = 0.0) -> None:
        self.ledger = ledger
        self.machine = machine
        self.room = tuple(room)
        self.host_room = host_room
        self.strays = strays
        self.pace = [1 / machine.rate(d) for d in range(len(room))] + [1 / machine.rate(HOST)]
        self.largest = max((unit.nbytes for block in ledger.blocks for unit in block.units), default=0)
        self.reads = [[unit.reads for unit in block.units] for block in ledger.blocks]
        self.choices = [_choices(block.units) for block in ledger.blocks]
        self.sizes = [block.unit_bytes for block in ledger.blocks]
        self.on_host = [(HOST,) * len(block.units) for block in ledger.blocks]
        self.least = min((sets[-1][1] for sets in self.choices if sets), default=0)
        """bytes of the smallest set of matrices: a device with less room takes none"""
        blocks = [i for i, block in enumerate(ledger.blocks) if block.units]
        self.orders = {
            "first": blocks,
            "last": blocks[::-1],
            "small": sorted(blocks, key=lambda i: (self.sizes[i], -i)),
            "large": sorted(blocks, key=lambda i: (-self.sizes[i], -i)),
        }
        """which blocks keep their matrices: the first, as --fit has it, the last, as -ncmoe has it, those with small ones, those with large ones"""

    def short(self, counts: Sequence[int]) -> int:
        """Bytes by which attention, cache and output do not fit where `counts` puts them."""
        return sum(max(-left, 0) for left in self._left(_blocks(tuple(counts))))

    def fill(self, counts: tuple[int, ...], way: Way) -> Filled | None:
        """The matrices placed; None where the blocks alone do not fit, or where the host keeps larger matrices than the way hopes."""
        blocks = _blocks(counts)
        left = self._left(blocks)
        if min(left, default=0) < 0:
            return None
        homes: list[tuple[int, ...]] = list(self.on_host)
        waiting = self._own(blocks, left, homes, way)
        if not way.whole:
            self._single(waiting, blocks, left, homes)
            self._elsewhere(waiting, blocks, left, homes)
        if way.largest < self.largest and largest_on_host(self.ledger, homes) > way.largest:
            return None
        used = [room - rest for room, rest in zip(self.room, left, strict=True)]
        return Filled(tuple(homes), self.seconds(blocks, homes), tuple(used), self._host_over(sum(used)))

    def _host_over(self, on_gpus: int) -> int:
        """What is on no GPU is on the host, with what never leaves it."""
        return 0 if self.host_room is None else max(self.ledger.host + self.ledger.movable - on_gpus - self.host_room, 0)

    def _left(self, blocks: Sequence[int]) -> list[int]:
        left = list(self.room)
        for block, device in zip(self.ledger.blocks, blocks, strict=False):
            if device >= 0:
                left[device] -= block.core
        if blocks[-1] >= 0:
            left[blocks[-1]] -= self.ledger.output
        return left

    def _own(self, blocks: Sequence[int], left: list[int], homes: list[tuple[int, ...]], way: Way) -> list[int]:
        """Whole feed-forward parts beside their attention; returns the blocks for which there was no room."""
        waiting, closed = [], set()
        for i in self.orders[way.order]:
            device = blocks[i]
            if device >= 0 and self.sizes[i] <= left[device] and device not in closed:
                left[device] -= self.sizes[i]
                homes[i] = (device,) * len(homes[i])
            else:
                waiting.append(i)
                if way.order in ("first", "last"):
                    closed.add(device)
        return waiting

    def _single(self, waiting: list[int], blocks: Sequence[int], left: list[int], homes: list[tuple[int, ...]]) -> None:
        """Single matrices in what is left beside their attention."""
        for i in waiting:
            device = blocks[i]
            if device >= 0:
                self._put(i, device, left, homes)

    def _elsewhere(self, waiting: list[int], blocks: Sequence[int], left: list[int], homes: list[tuple[int, ...]]) -> None:
        """Feed-forward parts, or matrices of them, on GPUs where their block is not: two more changes of device each."""
        for device in () if self.machine.within_block else self.machine.fastest_first:
            for i in waiting if left[device] >= self.least else ():
                if device != blocks[i] and homes[i] == self.on_host[i]:
                    self._put(i, device, left, homes, 2 * SPLIT_SECONDS)

    def _put(self, i: int, device: int, left: list[int], homes: list[tuple[int, ...]], price: float = 0.0) -> None:
        """The largest set of matrices that has room and is worth its price."""
        if left[device] < self.choices[i][-1][1]:
            return
        chosen, nbytes, reads = next(choice for choice in self.choices[i] if choice[1] <= left[device])
        if reads * (self.pace[HOST] - self.pace[device]) > price:
            left[device] -= nbytes
            homes[i] = tuple(device if j in chosen else HOST for j in range(len(homes[i])))

    def seconds(self, blocks: Sequence[int], homes: Sequence[Sequence[int]]) -> float:
        """Modelled time of one token."""
        pace, total = self.pace, self.ledger.output_reads * self.pace[blocks[-1]]
        for block, reads, device, of_units in zip(self.ledger.blocks, self.reads, blocks, homes, strict=False):
            total += block.core_reads * pace[device]
            for nbytes, home in zip(reads, of_units, strict=True):
                total += nbytes * pace[home]
        return total + SPLIT_SECONDS * (splits_of(blocks, homes) + self.strays * blocks.count(HOST))


def splits_of(blocks: Sequence[int], homes: Sequence[Sequence[int]]) -> int:
    """Pieces of one token's graph by the devices that follow one another.

    It is the scheduler's own number where no block is on the host; there it moves single operations to a GPU, which is not seen here.
    """
    splits, at = 1, HOST
    for device, of_units in zip(blocks, (*homes, ()), strict=True):
        if device != at:
            splits, at = splits + 1, device
        for home in of_units:
            if home != at:
                splits, at = splits + 1, home
    return splits


def largest_on_host(ledger: Ledger, homes: Sequence[Sequence[int]]) -> int:
    """Bytes of the largest matrix that is on no GPU: prompts are computed with a copy of it on the first one."""
    pairs = zip(ledger.blocks, homes, strict=True)
    return max((unit.nbytes for block, of_units in pairs for unit, home in zip(block.units, of_units, strict=True) if home == HOST), default=0)


@lru_cache(maxsize=4096)
def _blocks(counts: tuple[int, ...]) -> tuple[int, ...]:
    """Device of every block, the output last."""
    return tuple(device for device, count in enumerate(counts, HOST) for _ in range(count))


@lru_cache(maxsize=1024)
def _choices(units: tuple[Unit, ...]) -> tuple[tuple[frozenset[int], int, int], ...]:
    """Sets of matrices that may leave the others behind, the largest first.

    The first and the last are not left behind without what is computed between them: that would change the device twice more.
    """
    sets = [frozenset(chosen) for n in range(1, len(units) + 1) for chosen in combinations(range(len(units)), n) if not _torn(chosen, len(units))]
    sized = [(chosen, sum(units[j].nbytes for j in chosen), sum(units[j].reads for j in chosen)) for chosen in sets]
    return tuple(sorted(sized, key=lambda row: -row[1]))


def _torn(chosen: Iterable[int], n: int) -> bool:
    rest = [j for j in range(n) if j not in set(chosen)]
    return bool(rest) and rest != list(range(rest[0], rest[-1] + 1))
