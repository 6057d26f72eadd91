"""A layout and the flags that make it: what llama.cpp does with the flags is the layout again."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import placements
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan import task_of
from tonnage.engines.llamacpp.plan.check import Task, unit_homes
from tonnage.engines.llamacpp.plan.fill import splits_of
from tonnage.engines.llamacpp.plan.layout import Layout, flags, placed
from tonnage.engines.llamacpp.plan.ledger import Ledger, ledger_of
from tonnage.engines.llamacpp.plan.numbers import pattern
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.splits import splits
from tonnage.engines.llamacpp.weights import weights_by_device

pytestmark = pytest.mark.slow

MODELS = ("qwen3-30b-a3b", "gpt-oss-120b", "deepseek-v3", "glm4.5-air", "llama3.1-8b", "nemotron3-nano-30b")


def task(name: str, devices: int) -> tuple[Task, Ledger]:
    """A task on GPUs of 24 GB, and its ledger."""
    question, model = placements.question(name, [23_990] * devices, 8192), placements.model(name)
    found = task_of(question, model)
    return found, ledger_of(model, found.tensors, resolve(question, model), 0)


@st.composite
def layouts(draw: st.DrawFn, *, on_host: bool = True) -> tuple[str, Layout]:
    """Any sharing out of the blocks, with matrices anywhere."""
    name, devices = draw(st.sampled_from(MODELS)), draw(st.integers(1, 4))
    _, ledger = task(name, devices)
    cuts = sorted(draw(st.lists(st.integers(0, len(ledger.blocks)), min_size=devices, max_size=devices)))
    counts = tuple(b - a for a, b in zip((0, *cuts), (*cuts, len(ledger.blocks) + 1), strict=True))
    if not on_host:
        counts = (0, counts[0] + counts[1], *counts[2:])
    blocks = Layout(counts, (), devices).blocks
    anywhere = st.integers(HOST, devices - 1)
    moved = draw(st.sets(st.integers(0, len(ledger.blocks) - 1)))
    homes = tuple(
        tuple(draw(anywhere) if i in moved else blocks[i] for _ in block.units) for i, block in enumerate(ledger.blocks)
    )
    return name, Layout(counts, homes, devices)


@settings(deadline=None, max_examples=40)
@given(layouts())
def test_flags_make_the_layout_again(drawn: tuple[str, Layout]) -> None:
    """Blocks by -ngl and -ts, matrices by -ncmoe and -ot: read as the engine reads them, all is where the layout has it."""
    name, layout = drawn
    found, ledger = task(name, layout.devices)
    _, placement = placement_of(placed(found.question, flags(ledger, layout)), found.model)

    assert layout.blocks == placement.layers
    assert layout.homes == unit_homes(found, placement)


@settings(deadline=None, max_examples=20)
@given(layouts(on_host=False))
def test_pieces_of_the_graph_are_counted_by_the_layout(drawn: tuple[str, Layout]) -> None:
    """On one GPU the scheduler's own number; on several it may be two more or less for each device, where a residual waits on its own."""
    name, layout = drawn
    found, ledger = task(name, layout.devices)
    resolved, placement = placement_of(placed(found.question, flags(ledger, layout)), found.model)
    exact = splits(found.model, found.tensors, resolved, placement)
    counted = splits_of(layout.blocks, layout.homes)

    assert abs(exact - counted) <= (0 if layout.devices == 1 else 0.1 * exact + 2 * layout.devices)


@pytest.mark.parametrize("name", MODELS)
def test_the_ledger_adds_up_to_the_engines_weights(name: str) -> None:
    """With all layers on a GPU: weights and cache to the byte."""
    found, ledger = task(name, 1)
    resolved, placement = placement_of(found.question, found.model)
    from tonnage.engines.llamacpp.cache import cache_by_device

    weights = weights_by_device(found.model, found.tensors, placement, False)
    cache = sum(nbytes for (_, device), nbytes in cache_by_device(found.model, resolved, placement).items() if device == 0)

    assert weights[0] + cache == ledger.movable


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([7], "7"),
        ([12], "12"),
        ([1, 2], "([12])"),
        ([0, 1, 2, 3], "([0-3])"),
        (range(10, 20), "(1[0-9])"),
        ([3, 13, 23], "(3|[12]3)"),
        ([98, 99, 100, 101], "(9[89]|10[01])"),
    ],
)
def test_numbers_are_written_short(numbers: list[int], expected: str) -> None:
    """Runs of digits as classes, decades alike together."""
    assert expected == pattern(numbers)


@settings(deadline=None)
@given(st.sets(st.integers(0, 130), min_size=1))
def test_a_pattern_matches_its_numbers_alone(numbers: set[int]) -> None:
    """Whatever blocks are chosen."""
    compiled = re.compile(pattern(numbers))

    assert numbers == {n for n in range(200) if compiled.fullmatch(str(n))}
