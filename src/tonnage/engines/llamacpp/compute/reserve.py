"""The graphs that llama.cpp reserves memory for, and the fused operations that it tries before.

Source: sched_reserve, resolve_fused_ops in src/llama-context.cpp of build 11434.
"""

from collections.abc import Callable, Iterator

from tonnage.engines.llamacpp.compute.backends import flash_supported
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import ALL_FUSED, AUTOREGRESSIVE, CHUNKED, Batch, Net
from tonnage.engines.llamacpp.compute.scheduler import Machine, Schedule
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.errors import RefusedError
from tonnage.frozen import dataclass, replace
from tonnage.model.types import Model, Recurrent, Tensor
from tonnage.quant.types import block_type

ONE_SEQUENCE_TOO = frozenset({"kimi-linear", "minimax-01"})
"""architectures whose graph is reserved once more for one sequence, which may need more than one for all slots"""

DELTA_RULE = frozenset({"gated_delta", "kda"})
RECURRENT = DELTA_RULE | {"mamba", "mamba2", "short_conv"}
"""kinds of recurrent mixers"""

Builder = Callable[[Net], Graph]


@dataclass(frozen=True, slots=True)
class Reserve:
    """Everything that the graphs of one model on one machine have in common."""

    build: Builder
    model: Model
    tensors: tuple[Tensor, ...]
    settings: Settings
    placement: Placement
    blocks: tuple[int, ...] | None = None
    fused: frozenset[int] = ALL_FUSED

    def net(self, batch: Batch | None = None) -> Net:
        """The start of a graph: for the largest batch, if no other is given."""
        return Net(self.model, self.tensors, self.settings, self.placement, self.blocks, batch, self.fused)

    def graph(self, batch: Batch | None = None) -> Graph:
        """A whole graph."""
        return self.build(self.net(batch))


def reserved(
    build: Builder, model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, blocks: tuple[int, ...] | None = None
) -> Iterator[Graph]:
    """One graph, or two: every buffer becomes as large as the larger of them needs it.

    Raises RefusedError where flash attention is given up although values are quantised.
    """
    reserve = Reserve(build, model, tensors, settings, placement, blocks)
    if _may_stray(reserve):
        reserve = _with_delta_nets_resolved(_with_flash_resolved(reserve))
    graph = reserve.graph()
    if placement.devices and settings.flash_auto and reserve.settings.flash_attn and not all(map(_has_kernel, graph.nodes)):
        reserve = _without_flash(reserve)
        graph = reserve.graph()
    yield graph
    if model.architecture in ONE_SEQUENCE_TOO and settings.slots > 1:
        n_tokens = min(settings.ubatch, settings.n_ctx)
        yield reserve.graph(Batch(1, n_tokens, min(settings.outputs, n_tokens)))


def _mixes(model: Model, kinds: frozenset[str]) -> bool:
    return any(isinstance(mixer, Recurrent) and mixer.kind in kinds for layer in model.layers for mixer in layer.mixers)


def _has_kernel(node: Node) -> bool:
    return node.op != "FLASH_ATTN_EXT" or flash_supported(node)


def _may_stray(reserve: Reserve) -> bool:
    """Whether an operation between host and GPU could end up on the wrong side."""
    placement = reserve.placement
    if not placement.devices:
        return False
    if not reserve.settings.kv_offload:
        return True
    return _mixes(reserve.model, RECURRENT) and (HOST in placement.layers or _moves_mixers(reserve.tensors, placement))


def _moves_mixers(tensors: tuple[Tensor, ...], placement: Placement) -> bool:
    """Whether an override moves more of a block than its feed-forward part: else all that mixes lies with the block's cache."""
    if not placement.overrides:
        return False
    inside = (tensor.name for tensor in tensors if tensor.name.startswith("blk.") and ".ffn_" not in tensor.name)
    return any(placement.override(name) is not None for name in inside)


def _with_flash_resolved(reserve: Reserve) -> Reserve:
    """Flash attention given up where it would leave a layer's device."""
    settings = reserve.settings
    if not (settings.flash_auto and settings.flash_attn):
        return reserve
    graph = replace(reserve, blocks=None).graph(_probe(settings, AUTOREGRESSIVE))
    found = [(_layer_of(node), node) for node in graph.nodes if node.op == "FLASH_ATTN_EXT"]
    return _without_flash(reserve) if _strays(reserve, graph, found) else reserve


def _without_flash(reserve: Reserve) -> Reserve:
    settings = reserve.settings
    if block_type(settings.type_v).elements > 1:
        raise RefusedError(
            f"cache_type_v={settings.type_v}: llama.cpp gives flash attention up for {reserve.model.architecture} in this placement; take f16 for V"
        )
    return replace(reserve, settings=replace(settings, flash_attn=False))


def _layer_of(node: Node) -> int:
    """The layer whose keys an attention reads, by the name of their cache."""
    keys = node.sources[1].root
    while not keys.name.startswith("cache_"):
        keys = keys.sources[0].root
    return int(keys.name.rpartition("_l")[2])


def _with_delta_nets_resolved(reserve: Reserve) -> Reserve:
    """Fused delta nets given up, for one token or for many, where one would leave its layer's device."""
    if not _mixes(reserve.model, DELTA_RULE):
        return reserve
    for per_sequence in (AUTOREGRESSIVE, CHUNKED):
        net = replace(reserve, blocks=None).net(_probe(reserve.settings, per_sequence))
        graph = reserve.build(net)
        if _strays(reserve, graph, net.delta_nets):
            reserve = replace(reserve, fused=reserve.fused - {per_sequence})
    return reserve


def _probe(settings: Settings, per_sequence: int) -> Batch:
    n_tokens = per_sequence * settings.slots
    return Batch(settings.slots, n_tokens, n_tokens)


def _strays(reserve: Reserve, graph: Graph, found: list[tuple[int, Node]]) -> bool:
    """Whether one of the operations is given to another device than its layer's."""
    placement = reserve.placement
    backend = Schedule(graph, Machine(placement.devices, reserve.settings.op_offload)).backend
    return any(backend[node] != (placement.devices if placement.layers[il] == HOST else placement.layers[il]) for il, node in found)
