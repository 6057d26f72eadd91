"""DeepSeek V4's attention: a window of latents beside one entry per 4 tokens (chosen by an indexer) or per 128.

Source: src/models/deepseek4.cpp, src/llama-kv-cache-dsv4.cpp, build_inp_dsv4 in src/llama-graph.cpp, build 11434.
"""

from tonnage.engines.llamacpp.cache import window_cells
from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import get_k, hadamard, hadamard_size, mha, store_k
from tonnage.engines.llamacpp.compute.dsa import sparse_mask, top_tokens
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.settings import Settings
from tonnage.frozen import dataclass, replace
from tonnage.model.types import Compressed
from tonnage.quant.types import TYPES
from tonnage.units import ceil_div, pad

INDEXED, PLAIN = 4, 128
"""tokens per entry: entries of the first kind overlap and are chosen by the indexer, all of the second are seen"""


@dataclass(frozen=True, slots=True)
class Pool:
    """What one kind of compressed entries needs per batch (comp_input)."""

    entries: int
    """entries of one stream's cache"""
    state_rows: int
    """rows of one stream's running sums"""
    positions: Node
    kept_from: Node
    kept_to: Node
    reads: Node
    writes: Node
    entry_positions: Node
    mask: Node
    rot: Node | None


@dataclass(frozen=True, slots=True)
class CompressedInput:
    """Inputs of the window and of all three kinds of entries: indexed, plain, and the indexer's own."""

    k_idxs: Node
    mask: Node
    rot: Node | None
    indexed: Pool
    plain: Pool
    index: Pool


def compressed_input(net: Net) -> CompressedInput:
    """build_inp_dsv4: every slot has a stream of its own, also where the cache is said to be shared."""
    streams, n = net.settings.slots, net.n_tokens
    if net.settings.n_draft:
        raise KeyError("drafted tokens, whose sums the engine keeps to return to")
    window = next(m.window for layer in net.model.layers for m in layer.mixers if isinstance(m, Compressed))
    attention = "f16" if net.flash else "f32"
    return CompressedInput(
        net.input("attn_inp_k_idxs", "i64", n),
        net.input("attn_inp_kq_mask", attention, _window(window, net.settings), n // streams, 1, streams),
        _latent_rotation(net),
        _pool(net, INDEXED, True, attention, _latent_rotation(net)),
        _pool(net, PLAIN, False, attention, _latent_rotation(net)),
        _pool(net, INDEXED, True, "f16", _rotation(net, int(net.hp["attention.indexer.key_length"]))),
    )


def _latent_rotation(net: Net) -> Node | None:
    """Latents are turned only before they are quantised."""
    quantised = TYPES[net.settings.type_k].elements > 1 and net.hp.k_dim % 64 == 0
    return _rotation(net, net.hp.k_dim) if quantised else None


def _rotation(net: Net, dim: int) -> Node:
    side = hadamard_size(dim)
    return net.input("attn_inp_k_rot", "f32", side, side)


def _window(window: int, settings: Settings) -> int:
    """Cells of one slot's window; slots never share one."""
    return window_cells(window, replace(settings, slots=1))


def _pool(net: Net, ratio: int, overlap: bool, mask_type: str, rot: Node | None) -> Pool:
    """dsv4_build_reserve_comp_plan: as many entries as any split of the batch can complete."""
    n, streams, overlapping = net.n_tokens, net.settings.slots, 2 if overlap else 1
    entries, rows = pad(ceil_div(net.settings.cells, ratio), 256), overlapping * ratio
    new, kept = n // ratio + net.n_seqs, min(n, rows * streams)
    return Pool(
        entries,
        rows,
        net.input("dsv4_state_pos", "i32", n),
        net.input("dsv4_state_persist_src_idxs", "i32", kept),
        net.input("dsv4_state_persist_dst_idxs", "i32", kept),
        net.input("dsv4_state_read_idxs", "i32", overlapping * ratio * new),
        net.input("dsv4_state_write_idxs", "i64", new),
        net.input("dsv4_state_write_pos", "i32", new),
        net.input("dsv4_kq_mask", mask_type, entries, n // streams, 1, streams),
        rot,
    )


# --- compressing ------------------------------------------------------------------------------------


def compress(net: Net, pool: Pool, il: int, cur: Node, name: str, part: str, dim: int) -> None:
    """Store the entries that this batch completes, then the sums of those that it does not."""
    overlap = pool.state_rows == 2 * INDEXED
    kv = net.mm(net.need(il, f"{name}_kv"), cur)
    score = net.mm(net.need(il, f"{name}_gate"), cur)
    score = ops.add(score, ops.get_rows(net.need(il, f"{name}_ape"), pool.positions))
    states = [_state(net, pool, il, f"{part}_{kind}", kv.ne[0]) for kind in ("kv", "score")]
    kv_rows, score_rows = (ops.concat(_rows(_rows(s)), new, 1) for s, new in zip(states, (kv, score), strict=True))
    entry = (_overlapping if overlap else _disjoint)(pool, kv_rows, score_rows, dim)
    entry = ops.rope(net.norm(entry, net.need(il, f"{name}_norm"), il), pool.entry_positions)
    if pool.rot is not None:
        entry = hadamard(entry, pool.rot)
    store_k(net, entries_cache(net, pool, il, part, dim), entry, pool.writes)
    kept = [ops.get_rows(new, pool.kept_from) for new in (kv, score)]
    for state, rows in zip(states, kept, strict=True):
        net.expand(ops.set_rows(_rows(state), rows, pool.kept_to))


def entries_cache(net: Net, pool: Pool, il: int, part: str, dim: int) -> Node:
    """The compressed entries of all slots."""
    return net.cache(il, f"{part}_k", net.settings.type_k, dim, pool.entries, net.settings.slots)


def _state(net: Net, pool: Pool, il: int, part: str, row: int) -> Node:
    return net.cache(il, part, "f32", row, pool.state_rows, net.settings.slots)


def _rows(state: Node) -> Node:
    """The sums of all slots as rows."""
    return ops.view_2d(state, state.ne[0], state.ne[1] * state.ne[2], state.nb[1])


def _disjoint(pool: Pool, kv: Node, score: Node, dim: int) -> Node:
    """Entries of tokens that belong to no other (build_hca_compressed_kv_from_state)."""
    new = pool.entry_positions.ne[0]
    kv, score = (ops.reshape(ops.get_rows(t, pool.reads), dim, PLAIN, new) for t in (kv, score))
    return _pooled(kv, score)


def _overlapping(pool: Pool, kv: Node, score: Node, dim: int) -> Node:
    """Entries that also take in the tokens of the one before (build_overlap_compressed_kv_from_state)."""
    new = pool.entry_positions.ne[0]
    n = INDEXED * new
    kv, score = (ops.get_rows(_with_empty_row(t), pool.reads) for t in (kv, score))

    def half(rows: Node, offset: int) -> Node:
        return ops.reshape(ops.cont(ops.view_2d(rows, dim, n, rows.nb[1], offset)), dim, INDEXED, new)

    both = [ops.concat(half(t, 0), half(t, n * t.nb[1] + 4 * dim), 1) for t in (kv, score)]
    return _pooled(*both)


def _with_empty_row(rows: Node) -> Node:
    empty = ops.reshape(ops.scale(ops.view_1d(rows, rows.ne[0])), rows.ne[0], 1)
    return ops.concat(rows, empty, 1)


def _pooled(kv: Node, score: Node) -> Node:
    """The mean of the tokens' values, weighted by their scores channel by channel."""
    values, scores = (ops.cont(ops.permute(t, 1, 0, 2, 3)) for t in (kv, score))
    pooled = ops.sum_rows(ops.mul(values, ops.soft_max(scores)))
    return ops.cont(ops.permute(pooled, 1, 0, 2, 3))


# --- attending --------------------------------------------------------------------------------------


def compressed_attn(net: Net, inputs: CompressedInput, il: int, q: Node, kv: Node, rank: Node, cur: Node, pos: Node) -> Node:
    """Attend to the window and to the block's entries, if it has any; without the projection."""
    mixer = next(m for m in net.model.layers[il].mixers if isinstance(m, Compressed))
    top = _chosen_entries(net, inputs.index, il, rank, cur, pos) if mixer.ratio == INDEXED else None
    if inputs.rot is not None:
        q, kv = hadamard(q, inputs.rot), hadamard(kv, inputs.rot)
    net.expand(q)
    net.expand(kv)
    window = net.cache(il, "k", net.settings.type_k, kv.ne[0], inputs.mask.ne[0], net.settings.slots)
    store_k(net, window, kv, inputs.k_idxs)
    k, mask = get_k(window, kv.ne[0], 1), inputs.mask
    if mixer.ratio:
        pool, part = (inputs.indexed, "csa") if mixer.ratio == INDEXED else (inputs.plain, "hca")
        k = ops.concat(k, _all_of(get_k(entries_cache(net, pool, il, part, kv.ne[0]), kv.ne[0], 1)), 2)
        mask = ops.concat(mask, pool.mask if top is None else sparse_mask(pool.mask, top, "f16" if net.flash else "f32"), 0)
    out = mha(net, q, k, k, mask, sinks=net.need(il, "attn_sinks"))
    return out if inputs.rot is None else hadamard(out, inputs.rot)


def _all_of(entries: Node) -> Node:
    """The entries that the batch may see: all that are reserved for."""
    return ops.view_4d(entries, entries.ne, entries.nb[1], entries.nb[2], entries.nb[3])


def _chosen_entries(net: Net, pool: Pool, il: int, rank: Node, cur: Node, pos: Node) -> Node:
    """build_lid_top_k."""
    heads, dim = int(net.hp["attention.indexer.head_count"]), int(net.hp["attention.indexer.key_length"])
    q = ops.rope(ops.reshape(net.mm(net.need(il, "indexer.attn_q_b"), rank), dim, heads, net.n_tokens), pos)
    assert pool.rot is not None
    q = hadamard(q, pool.rot)
    weights = ops.scale(net.mm(net.need(il, "indexer.proj"), cur))
    keys = _all_of(get_k(entries_cache(net, pool, il, "lid", dim), dim, 1))
    return top_tokens(net, q, keys, weights, pool.mask, scaled=True)
