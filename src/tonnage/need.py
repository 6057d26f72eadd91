"""Memory against context: a line through the few contexts that were estimated. Pure."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

STEP = 1024
"""tokens: what is read off a line is told in whole steps"""


class Point(NamedTuple):
    """Memory at a context."""

    tokens: int
    bytes: int


def at(curve: Sequence[Point], tokens: int) -> int:
    """Bytes at a context, on the line between the two points beside it."""
    i = min(max(bisect_left(curve, tokens, key=lambda point: point.tokens), 1), len(curve) - 1)
    low, high = curve[i - 1], curve[i]
    return low.bytes + (high.bytes - low.bytes) * (tokens - low.tokens) // max(high.tokens - low.tokens, 1) if len(curve) > 1 else curve[0].bytes


def crossing(curve: Sequence[Point], room: int) -> int | None:
    """Tokens that `room` bytes hold; None where they hold all, 0 where not even the least."""
    if curve[-1].bytes <= room:
        return None
    if curve[0].bytes > room:
        return 0
    i = bisect_left(curve, True, key=lambda point: point.bytes > room)
    low, high = curve[i - 1], curve[i]
    return low.tokens + (high.tokens - low.tokens) * (room - low.bytes) // max(high.bytes - low.bytes, 1)


def reaches(curve: Sequence[Point], room: int) -> int | None:
    """The same in whole steps."""
    tokens = crossing(curve, room)
    return None if tokens is None else tokens // STEP * STEP
