"""Fused operations on residual streams, which llama.cpp gives up where one would leave its layer's device.

Source: resolve_fused_ops in src/llama-context.cpp of build 11434: of the fused operations of sparse attention
these alone are tried (auto_fhc); the lightning indexer always runs fused (auto_flid is off).
"""

from collections.abc import Callable, Iterator

from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.scheduler import Machine, Schedule
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.model.types import Model, Tensor

OPS = ("DSV4_HC_PRE", "DSV4_HC_COMB", "DSV4_HC_POST")
"""the operations, in the order in which they are tried"""


def may_stray(model: Model, tensors: tuple[Tensor, ...], placement: Placement) -> bool:
    """Whether streams could leave their layers: between host and GPU, or where an override moves weights around them."""
    if not placement.devices or "hyper_connection.count" not in model.hparams:
        return False
    return HOST in placement.layers or (bool(placement.overrides) and any(_moved(t.name, placement) for t in tensors))


def _moved(name: str, placement: Placement) -> bool:
    """Whether a tensor is overridden, other than those of feed-forward parts: streams are dealt after them all the same."""
    return ".ffn_" not in name and placement.override(name) is not None


def given_up(graph_without: Callable[[frozenset[str]], Graph], placement: Placement, machine: Machine) -> frozenset[str]:
    """The operations that are taken in single steps instead; `graph_without` builds the graph that is tried, without some of them."""
    gone: frozenset[str] = frozenset()
    straying = _straying(graph_without(gone), placement, machine)
    for op in OPS:
        if op in straying:
            gone |= {op}
            straying = _straying(graph_without(gone), placement, machine)
    return gone


def _straying(graph: Graph, placement: Placement, machine: Machine) -> set[str]:
    """Operations that run on another device than their layer's."""
    backend = Schedule(graph, machine).backend
    homes = [placement.devices if home == HOST else home for home in placement.layers]
    return {node.op for il, node in _found(graph) if backend[node] != homes[il]}


def _found(graph: Graph) -> Iterator[tuple[int, Node]]:
    """Every operation and its layer: that of the weights used last before it."""
    layer = 0
    for node in graph.nodes:
        layer = next((int(s.name.split(".")[1]) for s in node.sources if s.weight and s.name.startswith("blk.")), layer)
        if node.op in OPS:
            yield layer, node
