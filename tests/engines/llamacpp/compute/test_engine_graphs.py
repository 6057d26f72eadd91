"""Scheduler, allocator and optimiser on the engine's own operation lists."""

import pytest

import graphs
from tonnage.engines.llamacpp.compute.fusion import Fusion
from tonnage.engines.llamacpp.compute.scheduler import Machine, Schedule, compute_sizes


@pytest.mark.parametrize("name", graphs.NAMES)
def test_buffers_are_those_that_the_engine_measured(name: str) -> None:
    """The walk of the engine's list gives the engine's GPU and host buffers, to the byte."""
    graph, _ = graphs.engine_graph(name)
    measured = graphs.load(name)["measured"]

    assert [measured["CUDA0"]["compute"], measured["CUDA_Host"]["compute"]] == compute_sizes(graph, Machine(1), Fusion(graph))


@pytest.mark.parametrize("name", graphs.NAMES)
def test_splits_are_as_many_as_the_engine_made(name: str) -> None:
    """The scheduler cuts the graph where the engine does."""
    graph, _ = graphs.engine_graph(name)

    assert graphs.load(name)["n_splits"] == len(Schedule(graph, Machine(1)).splits)


@pytest.mark.parametrize("name", graphs.NAMES)
def test_what_is_kept_alive_is_what_cuda_keeps(name: str) -> None:
    """The optimiser's groups are the engine's, tensor by tensor."""
    graph, tensors = graphs.engine_graph(name)
    theirs: dict[str, set[str]] = {}
    for group in graphs.load(name)["keep_alive"]:
        theirs.setdefault(tensors[group["u"]].name, set()).update(tensors[i].name for i in group["keep"])
    ours: dict[str, set[str]] = {}
    fusion = Fusion(graph)
    for split in Schedule(graph, Machine(1)).splits:
        if split.backend == 0:
            for until, kept in fusion(split.nodes)[1].items():
                ours.setdefault(until.name, set()).update(t.name for t in kept)

    assert theirs == ours
