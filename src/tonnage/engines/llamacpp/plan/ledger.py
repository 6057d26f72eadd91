"""The bytes of every block once, so that a thousand placements can be added up without asking the engine's rules again."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tonnage.engines.llamacpp.buffers import CUDA, allocated, allocated_rows
from tonnage.engines.llamacpp.cache import cache_tensors, widest_v
from tonnage.engines.llamacpp.placement import Placement
from tonnage.engines.llamacpp.reads import cache_reads, is_expert, read_of
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.weights import homes
from tonnage.frozen import dataclass
from tonnage.model.types import Layer, Model, Tensor

KINDS = ("gate", "gate_up", "up", "down")
"""matrices of a feed-forward part, in the order in which the engine computes them"""

_EXPERT = re.compile(r"blk\.\d+\.ffn_(gate_up|gate|up|down)_(?:ch|)exps")
_DENSE = re.compile(r"blk\.\d+\.ffn_(gate|up|down)\.")


class Unit(NamedTuple):
    """A matrix of a feed-forward part that an override can move, with its bias."""

    kind: str
    nbytes: int
    reads: int


class Block(NamedTuple):
    """A block: what follows its device, and the matrices that may live elsewhere."""

    core: int
    """bytes of weights and cache that are where the block is"""
    core_reads: int
    units: tuple[Unit, ...]
    experts: bool
    """whether the units are routed experts"""

    @property
    def unit_bytes(self) -> int:
        """All matrices together."""
        return sum(unit.nbytes for unit in self.units)


@dataclass(frozen=True, slots=True)
class Ledger:
    """A model under given settings. Bytes are those on a GPU."""

    blocks: tuple[Block, ...]
    output: int
    """bytes that lie where the output layer is"""
    output_reads: int
    host: int
    """bytes of weights that stay on the host wherever layers go"""

    @property
    def has_experts(self) -> bool:
        """Whether any block's matrices are routed experts."""
        return any(block.experts for block in self.blocks)

    @property
    def movable(self) -> int:
        """Bytes of everything that a GPU can hold."""
        return self.output + sum(block.core + block.unit_bytes for block in self.blocks)


def ledger_of(model: Model, tensors: tuple[Tensor, ...], settings: Settings, depth: int) -> Ledger:
    """The ledger of a model with `depth` tokens in the cache."""
    n = len(model.layers)
    core, core_reads, moved = [0] * n, [0] * n, [dict[str, tuple[int, int]]() for _ in range(n)]
    output = output_reads = host = 0
    routed = {tensor.block for tensor in tensors if is_expert(tensor)}
    movable = movables(tensors)
    for tensor, device in homes(model, tensors, Placement((0,) * (n + 1), (), 1, settings.kv_offload, False), False):
        nbytes, block = allocated(tensor, CUDA), tensor.block
        if device < 0:
            host += nbytes
        elif block is None:
            output += nbytes
            output_reads += tensor.nbytes
        elif tensor.name in movable:
            kind = movable[tensor.name]
            before = moved[block].get(kind, (0, 0))
            moved[block][kind] = (before[0] + nbytes, before[1] + read_of(model, tensor))
        else:
            core[block] += nbytes
            core_reads[block] += read_of(model, tensor)
    if settings.kv_offload:
        for i, nbytes in enumerate(_caches(model, settings)):
            core[i] += nbytes
            core_reads[i] += cache_reads(model, i, settings, depth)
    blocks = tuple(_block(core[i], core_reads[i], moved[i], i in routed) for i in range(n))
    return Ledger(blocks, output, output_reads, host)


def _caches(model: Model, settings: Settings) -> Iterator[int]:
    """Bytes of every block's cache and state on a GPU; blocks alike are counted once."""
    known: dict[Layer, int] = {}
    v_width = widest_v(model)
    for layer in model.layers:
        if layer not in known:
            kept = () if layer.nextn else cache_tensors(layer, settings, v_width)
            known[layer] = sum(allocated_rows(tensor.type, tensor.row, tensor.rows, CUDA) for tensor in kept)
        yield known[layer]


def _block(core: int, core_reads: int, moved: dict[str, tuple[int, int]], experts: bool) -> Block:
    return Block(core, core_reads, tuple(Unit(kind, *moved[kind]) for kind in KINDS if kind in moved), experts and bool(moved))


def movables(tensors: tuple[Tensor, ...]) -> dict[str, str]:
    """Tensor -> kind, of all that overrides may move: experts, and dense matrices of blocks that have none."""
    routed = {tensor.block for tensor in tensors if is_expert(tensor)}
    matches = ((t.name, (_EXPERT if t.block in routed else _DENSE).match(t.name)) for t in tensors if ".ffn_" in t.name)
    return {name: match[1] for name, match in matches if match}
