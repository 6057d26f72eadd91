"""The best ways to share the blocks out, by the ledger alone: climbing from a few starts."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tonnage.engines.llamacpp.plan.fill import Filler, Way
from tonnage.engines.llamacpp.plan.layout import Layout

STEPS = (8, 4, 2, 1)

OVER_GPU = 1 << 60
"""a GPU that cannot hold its blocks is worse than any host that cannot"""

Counts = tuple[int, ...]


class Candidate(NamedTuple):
    """A layout and its modelled seconds per token."""

    layout: Layout
    seconds: float
    used: tuple[int, ...]
    """bytes that the ledger puts on every GPU"""


def search(filler: Filler, way: Way, near: Counts | None = None) -> Candidate | None:
    """The fastest layout that is filled this way; None where no way of sharing out the blocks fits.

    Climbing begins at the counts `near` where they are given and by room, else from several sides.
    """
    found: list[Candidate] = []
    starts = _starts(filler)
    if near and not filler.short(near):
        starts = [near] if len(filler.room) < 2 else [near, starts[0]]
    for counts in {_climbed(filler, start, way) for start in dict.fromkeys(starts)}:
        filled = filler.fill(counts, way)
        if filled and not filled.host_over:
            found.append(Candidate(Layout(counts, filled.homes, len(filler.room)), filled.seconds, filled.used))
    return min(found, key=lambda candidate: candidate.seconds, default=None)


def _starts(filler: Filler) -> list[Counts]:
    """All blocks on GPUs, by room, fastest first and on the fastest alone; half of them on the host; all of them."""
    n = len(filler.ledger.blocks) + 1
    if not filler.room:
        return [(n,)]
    starts = [(0, *_shared(n, filler.room)), (0, *_fastest_first(filler, n)), (n // 2, *_shared(n - n // 2, filler.room))]
    fastest = filler.machine.fastest_first[0]
    starts.append((0, *(n * (d == fastest) for d in range(len(filler.room)))))
    if not any(filler.short(start) == 0 for start in starts):
        starts.append((n, *(0 for _ in filler.room)))
    return list(dict.fromkeys(starts))


def _shared(n: int, room: Sequence[int]) -> list[int]:
    """`n` blocks in proportion to the room."""
    held = [max(nbytes, 0) for nbytes in room]
    if not any(held):
        held[-1] = 1
    total, counts, given, summed = sum(held), [], 0, 0
    for nbytes in held:
        summed += nbytes
        upto = round(n * summed / total)
        counts.append(upto - given)
        given = upto
    return counts


def _fastest_first(filler: Filler, n: int) -> list[int]:
    """As many whole blocks as fit on the fastest GPU, then on the next; the rest in proportion."""
    mean = max(filler.ledger.movable // n, 1)
    counts, left = [0] * len(filler.room), n
    for device in filler.machine.fastest_first:
        counts[device] = min(left, max(filler.room[device], 0) // mean)
        left -= counts[device]
    return [a + b for a, b in zip(counts, _shared(left, filler.room), strict=True)]


def _climbed(filler: Filler, counts: Counts, way: Way) -> Counts:
    """The counts that no move of a few blocks between two devices betters."""
    known: dict[Counts, tuple[int, float]] = {}

    def cost(counts: Counts) -> tuple[int, float]:
        if counts not in known:
            filled = filler.fill(counts, way)
            known[counts] = (filled.host_over, filled.seconds) if filled else (filler.short(counts) + OVER_GPU, 0.0)
        return known[counts]

    better = True
    while better:
        better = False
        for step in STEPS:
            for moved in _moves(counts, step):
                if cost(moved) < cost(counts):
                    counts, better = moved, True
    return counts


def _moves(counts: Counts, step: int) -> Iterator[Counts]:
    for a in range(len(counts)):
        for b in range(len(counts)):
            if a != b and counts[a] >= step:
                yield tuple(count - step * (i == a) + step * (i == b) for i, count in enumerate(counts))
