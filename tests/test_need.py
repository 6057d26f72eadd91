"""Memory against context, read off a line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage.need import Point, at, crossing, reaches

CURVE = (Point(1024, 100), Point(4096, 400), Point(8192, 2400))


@pytest.mark.parametrize(("tokens", "nbytes"), [(1024, 100), (2048, 200), (4096, 400), (6144, 1400), (8192, 2400)])
def test_bytes_lie_on_the_line_between_two_points(tokens: int, nbytes: int):
    """At a point its own bytes, between two in proportion."""
    assert nbytes == at(CURVE, tokens)


def test_one_point_is_a_line():
    """A model of little context has one point, which holds everywhere."""
    assert 7 == at([Point(1024, 7)], 512)


@pytest.mark.parametrize(("room", "tokens"), [(99, 0), (100, 1024), (200, 2048), (1400, 6144), (2399, 8189), (2400, None)])
def test_room_is_turned_into_tokens(room: int, tokens: int | None):
    """0 where not even the least fits, None where all does."""
    assert tokens == crossing(CURVE, room)
    assert (tokens and tokens // 1024 * 1024) == reaches(CURVE, room)


@given(room=st.integers(100, 2399))
@settings(deadline=None)
def test_what_is_read_off_fits(room: int):
    """The tokens that a room holds need no more than it, and one more needs as much at least."""
    tokens = crossing(CURVE, room)

    assert at(CURVE, tokens) <= room <= at(CURVE, tokens + 1)
