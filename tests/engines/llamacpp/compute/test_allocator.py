"""The best-fit allocator, block by block."""

from hypothesis import given
from hypothesis import strategies as st

from tonnage.engines.llamacpp.compute.allocator import Arena


def test_the_smallest_hole_that_fits_is_taken() -> None:
    """A block goes into the tightest hole, not into the first."""
    arena = Arena(1)
    offsets = [arena.take(size) for size in (100, 1, 50, 1)]
    arena.give(offsets[0], 100)
    arena.give(offsets[2], 50)

    assert offsets[2] == arena.take(40)


def test_neighbours_that_are_free_become_one_hole() -> None:
    """Freed blocks merge with the free ones on both sides."""
    arena = Arena(1)
    a, b, c, _ = (arena.take(10) for _ in range(4))
    for offset in (a, c, b):
        arena.give(offset, 10)

    assert a == arena.take(30)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40), st.sampled_from([1, 32, 128]))
def test_all_given_back_leaves_one_endless_block(sizes: list[int], alignment: int) -> None:
    """Whatever is taken and given back in any order leaves nothing behind but the peak."""
    arena = Arena(alignment)
    taken = [(arena.take(size), size) for size in sizes]
    for offset, size in taken[::2] + taken[1::2]:
        arena.give(offset, size)

    assert [0] == arena.offsets
    assert sum(-(-size // alignment) * alignment for size in sizes) == arena.peak
