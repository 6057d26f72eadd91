"""Graphs of families against the engine's own lists and sizes."""

from typing import Any

import pytest

import graphs
import oracle
from model_files import header_model
from tonnage.engines.llamacpp.compute import families, periods
from tonnage.engines.llamacpp.compute.fusion import Fusion
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.scheduler import Machine, compute_sizes
from tonnage.engines.llamacpp.placement import place
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.estimation import estimate
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import Question, from_dict

SWITCHES = {"-kvu": ("kv_unified", True), "--swa-full": ("swa_full", True), "-nkvo": ("kv_offload", False)}
VALUES = {"-c": "n_ctx", "-np": "slots", "-ub": "ubatch", "-b": "batch", "-ctk": "cache_type_k", "-ctv": "cache_type_v", "-fa": "flash_attn"}
def asked(model: str, backend: str, flags: str, outputs: int | None) -> Question:
    """llama.cpp's flags as a question."""
    given: dict[str, Any] = {"slots": 1, "kv_unified": False, "profile": "tools" if outputs is None else "server"}
    words = iter(flags.split())
    for word in words:
        key, value = SWITCHES.get(word) or (VALUES[word], next(words))
        given[key] = value
    return from_dict({"model": model, "quant": "Q4_K_M", "backend": backend, **given})


def built(question: Question, model: Model, *, short: bool = False) -> tuple[Graph, Machine]:
    """The graph of a question, whole or with repetitions cut, and what it runs on."""
    settings = resolve(question, model)
    gpus = 0 if settings.backend == "cpu" else 1
    placement = place(question, model, [1] * gpus)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    build = families.builder(model.architecture)
    assert build is not None
    blocks = periods.needed_blocks(model, tensors, placement) if short else None
    return build(Net(model, tensors, settings, placement, blocks)), Machine(gpus, settings.op_offload)


@pytest.mark.parametrize("name", graphs.NAMES)
def test_the_list_is_the_engines(name: str) -> None:
    """Operations, types, shapes, strides, sources, views, flags and order are those of the engine."""
    model = header_model(name)
    if families.builder(model.architecture) is None:
        pytest.skip(f"{model.architecture} has no graph yet")
    theirs, _ = graphs.engine_graph(name)
    question = from_dict({"model": name, "n_ctx": 32768, "slots": 1, "kv_unified": False, "quant": "file"})

    assert _listed(theirs) == _listed(built(question, model)[0])


def _listed(graph: Graph) -> list[tuple[Any, ...]]:
    number = {node: i for i, node in enumerate((*graph.leafs, *graph.nodes))}

    def row(node: Node) -> tuple[Any, ...]:
        view = None if node.view_of is None else number[node.view_of]
        return node.op, node.type, node.ne, node.nb, node.flags & 3, view, node.view_offset, [number[s] for s in node.sources]

    return [row(node) for node in (*graph.leafs, *graph.nodes)]


def runs() -> list[Any]:
    """Every catalogue model with a graph, once, its architecture as its test's name."""
    entries = oracle.catalogue()
    return [pytest.param(hub_id, id=hub_id) for hub_id, entry in entries.items() if families.builder(entry["arch"])]


@pytest.mark.slow
@pytest.mark.parametrize("hub_id", runs())
def test_compute_buffers_of_the_catalogue(hub_id: str) -> None:
    """Every run of every model: GPU and host buffers to the byte."""
    model = catalogue.model(hub_id)
    differ = []
    for run in oracle.catalogue()[hub_id]["runs"]:
        answer = estimate(asked(hub_id, run["b"], run["f"], run["nout"]), model)
        ours = {("gpu" if d.kind != "host" else "host"): sum(p.bytes for p in d.parts if p.part == "compute") for d in answer.devices}
        theirs: dict[str, int] = {}
        for buffer, (_, _, compute) in run["buf"].items():
            where = "gpu" if buffer == "CUDA0" else "host"
            theirs[where] = theirs.get(where, 0) + compute
        if {k: v for k, v in ours.items() if v} != {k: v for k, v in theirs.items() if v}:
            differ.append((run["b"], run["f"], run["nout"]))

    assert [] == differ


@pytest.mark.parametrize("hub_id", runs()[::6])
@pytest.mark.parametrize("flags", ["-c 32768", "-c 8192 -np 4", "-c 65536 -fa off"])
def test_cutting_repetitions_changes_nothing(hub_id: str, flags: str) -> None:
    """The walk over few rounds of alike blocks gives the peak of the walk over all."""
    model = catalogue.model(hub_id)
    sizes = []
    for short in (False, True):
        graph, machine = built(asked(hub_id, "cuda", flags, 1), model, short=short)
        sizes.append(compute_sizes(graph, machine, Fusion(graph)))

    assert sizes[0] == sizes[1]


def test_long_repetitions_are_cut_to_a_few_rounds() -> None:
    """Some rounds at the beginning and one at the end remain, of a single block as many as make the rest a multiple of six, of more of two."""
    assert (0, *range(1, 10), *range(16, 19), 19, 20) == periods.shortened([*"x", *"abc" * 6, *"yz"])
    assert (0, *range(1, 13), *range(19, 22), 22, 23) == periods.shortened([*"x", *"abc" * 7, *"yz"])
    assert (0, 1, 2, 3, 4, 5, 12, 13) == periods.shortened([*"aaaaaaaaaaaaab"])
    assert (0, 1, 2, 3) == periods.shortened([*"abab"])
