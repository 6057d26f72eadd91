"""Indexers that score pools of neighbouring tokens by one key each (k-pool): GLM-5.3-Flash, Qwen3.8-Flash-Next.

Source: src/llama-memory-hybrid-idx.cpp, build_kpool_select in src/models/glm5-next.cpp and build_qsa_sel in
src/models/qwen4exp.cpp, build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import k_cache
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.frozen import dataclass
from tonnage.units import pad

POOL_PADDING = 64


@dataclass(frozen=True, slots=True)
class Pools:
    """What the indexer needs per batch (llm_graph_input_kpool)."""

    size: int
    """tokens of a pool"""
    used: int
    """pools that a token attends to"""
    k_idxs: Node
    cells: Node
    members: Node
    mask: Node
    tail: Node
    live: Node | None
    new_members: Node
    new_cells: Node
    new_positions: Node

    @property
    def count(self) -> int:
        """Pools, padded; the last is always unused."""
        return self.cells.ne[0]

    @property
    def new(self) -> int:
        """Pools that the batch computes: all of them in the graph that is reserved."""
        return self.new_cells.ne[0]


def pool_inputs(net: Net, size: int, *, live: int | None = None) -> Pools:
    """build_inp_kpool; `live` tokens per row get a mask of which choices count."""
    n, most = net.n_tokens, net.settings.cells // size * net.settings.slots
    count, new = max(POOL_PADDING, pad(most + 1, POOL_PADDING)), max(most, 1)
    used = min(count, int(net.hp["attention.indexer.top_k"]) // size)
    pools = Pools(
        size,
        used,
        net.input("attn_inp_k_idxs", "i64", n),
        net.input("kpool_cells", "i32", count),
        net.input("kpool_idxs", "i32", size, count),
        net.input("kpool_mask", "f16", count, n),
        net.input("kpool_tail_idxs", "i32", size - 1, n),
        None if live is None else net.input("kpool_gather_mask", "f32", size * used + live, 1, 1, n),
        net.input("kpool_new_idxs", "i32", size, new),
        net.input("kpool_new_rep", "i64", new),
        net.input("kpool_new_pos", "i32", 4 * new),
    )
    for node in (pools.cells, pools.members, pools.mask, pools.tail, pools.live):
        if node is not None:
            net.expand(node)
    return pools


@dataclass(frozen=True, slots=True)
class PoolCache:
    """The indexer's cache seen whole: what is kept per token, and the pooled key behind it (kpool_access)."""

    tokens: Node
    pooled: Node


def pool_cache(net: Net, il: int, dim: int, parts: int) -> tuple[Node, PoolCache]:
    """The cache itself, and its two columns; a row has `parts` keys, the last one pooled."""
    cache = k_cache(net, il, parts * dim, "index_k")
    cells, own = cache.ne[1] * cache.ne[2], (parts - 1) * dim
    tokens = ops.view_2d(cache, own, cells, cache.nb[1])
    return cache, PoolCache(tokens, ops.view_2d(cache, dim, cells, cache.nb[1], ops.row_size(cache.type, own)))


def new_rows(pools: Pools, cache: PoolCache) -> Node:
    """What is kept of the tokens of every pool that is computed."""
    flat = ops.reshape(pools.new_members, pools.size * pools.new)
    rows = ops.get_rows(cache.tokens, flat)
    return ops.reshape(rows, rows.ne[0], pools.size, pools.new)


def all_pooled(net: Net, pools: Pools, cache: PoolCache, fresh: Node) -> Node:
    """Store the computed keys, then gather those of all pools."""
    net.expand(ops.set_rows(cache.pooled, fresh, pools.new_cells))
    return ops.reshape(ops.get_rows(cache.pooled, pools.cells), fresh.ne[0], 1, pools.count)


def chosen_cells(pools: Pools, top: Node, *, tail: bool) -> Node:
    """The cells of the chosen pools, and those of the last, incomplete one."""
    n = top.ne[1]
    cells = ops.get_rows(pools.members, ops.reshape(top, pools.used * n))
    cells = ops.reshape(cells, pools.size * pools.used, n)
    return ops.concat(cells, pools.tail, 0) if tail else cells


def nothing_seen(mask: Node, cells: int, chosen: int, n: int) -> tuple[Node, Node]:
    """A mask that hides every cell, with room for choices that do not count, and zeros for those that do."""
    width = cells + chosen
    hidden = ops.repeat_4d(ops.filled(mask.type, width), width, n, 1, 1)
    zeros = ops.repeat_4d(ops.filled(mask.type, chosen), chosen, n, 1, 1)
    return ops.reshape(hidden, 1, width, n), ops.reshape(zeros, 1, chosen, n)


def only_live(chosen: Node, live: Node, dump: Node) -> Node:
    """Choices that do not count are sent to rows behind all cells."""
    cells = ops.cast(chosen, "f32")
    cells = ops.add(ops.mul(ops.sub(cells, dump), live), dump)
    return ops.cast(cells, "i32")
