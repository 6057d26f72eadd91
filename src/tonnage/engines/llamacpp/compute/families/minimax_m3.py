"""MiniMax M3: attention to blocks of positions that an indexer chooses (src/models/minimax-m3.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import CacheInput, attn, attn_inputs, get_k, get_v, hadamard, k_cache, store_k, store_v, v_cache
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node, is_contiguous
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.errors import RefusedError
from tonnage.frozen import dataclass
from tonnage.quant.types import TYPES
from tonnage.units import pad

LEAST_POSITIONS = 256
"""positions that are reserved for an empty cache (llama_kv_cache_msa_context::get_n_pos)"""


@dataclass(frozen=True, slots=True)
class Blocks:
    """What choosing blocks needs per batch (llm_graph_input_msa)."""

    k_idxs: Node
    bias: Node
    visible: Node
    cells_of: Node
    many: "Expansion | None"
    """what is needed where a stream has many tokens"""
    cell_values: Node | None
    """`cells_of` as numbers to reckon with, where each stream has one token"""


@dataclass(frozen=True, slots=True)
class Expansion:
    """What spreads a mask of blocks over the cells of a cache."""

    block_of: Node
    mask: Node


def build(net: Net) -> Graph:
    """Dense blocks first, then sparse ones with experts; all dense where the cache does not allow blocks."""
    layer_input = net.inp_embd()
    pos, inputs = net.inp_pos(), attn_inputs(net).full
    sparse = net.flash and (net.n_seqs == 1 or not net.settings.unified)
    blocks = _blocks(net, inputs) if sparse else None
    out_ids = net.inp_out_ids()
    n_dense = int(net.hp.get("leading_dense_block_count") or 0)
    for il in net.blocks:
        residual = layer_input
        cur = net.norm(layer_input, net.need(il, "attn_norm"), il)
        cur = _attention(net, il, cur, pos, inputs, blocks if il >= n_dense else None)
        if il == net.n_layer - 1:
            cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
        ffn_inp = ops.add(cur, residual)
        cur = net.norm(ffn_inp, net.need(il, "ffn_norm"), il)
        layer_input = ops.add(_feed_forward(net, cur, il), ffn_inp)
    graph = net.graph(net.output(layer_input))
    _refuse_too_large(net, graph)
    return graph


def _refuse_too_large(net: Net, graph: Graph) -> None:
    """Every stream of its own adds its operations to every block, and llama.cpp aborts where its list is full (graph_max_nodes)."""
    settings = net.settings
    made = sum(node.home is None for node in (*graph.leafs, *graph.nodes))
    if made > max(40 * min(settings.ubatch, settings.n_ctx), 32 * net.n_tensors):
        raise RefusedError(
            f"slots={settings.slots}: llama.cpp aborts on {net.arch} with so many slots that have a cache of their own; "
            "take fewer, or let them share one (kv_unified)"
        )


def _blocks(net: Net, inputs: CacheInput) -> Blocks:
    cells, streams, size = inputs.mask.ne[0], inputs.mask.ne[3], int(net.hp["attention.indexer.block_size"])
    positions = pad(max(net.settings.build.cell_padding, LEAST_POSITIONS), size)
    one_each = net.n_tokens == streams
    return Blocks(
        net.input("attn_inp_k_idxs", "i64", net.n_tokens),
        net.input("msa_bias", "f32", positions // size, net.n_tokens),
        net.input("msa_pos_mask", "f32", positions, net.n_tokens),
        net.input("msa_pos_slot", "i32", positions, streams),
        None if one_each else Expansion(net.input("msa_cell_blk", "i32", cells, streams), ops.cast(inputs.mask, "f32")),
        net.input("msa_pos_slot_f", "f32", positions, streams) if one_each else None,
    )


def _attention(net: Net, il: int, cur: Node, pos: Node, inputs: CacheInput, blocks: Blocks | None) -> Node:
    q, k, v = net.qkv(cur, il, net.hp.k_dim)
    q = ops.rope(net.norm(q, net.need(il, "attn_q_norm"), il), pos)
    k = ops.rope(net.norm(k, net.need(il, "attn_k_norm"), il), pos)
    if blocks is None:
        return attn(net, inputs, il, q, k, v)
    index_q, index_keys = _index(net, il, cur, pos, blocks)
    q, keys, values = _stored(net, il, inputs, q, k, v)
    attend = _gathered if blocks.many is None else _streams
    cur = attend(net, q, keys, values, index_q, index_keys, blocks)
    if inputs.v_rot is not None:
        cur = hadamard(cur, inputs.v_rot)
    return net.mm(net.need(il, "attn_output"), cur)


def _index(net: Net, il: int, cur: Node, pos: Node, blocks: Blocks) -> tuple[Node, Node]:
    """The indexer's queries, and all its keys in the cache."""
    heads, dim = int(net.hp["attention.indexer.head_count"]), int(net.hp["attention.indexer.key_length"])
    q = ops.reshape(net.mm(net.need(il, "indexer.q_proj"), cur), dim, heads, net.n_tokens)
    k = ops.reshape(net.mm(net.need(il, "indexer.k_proj"), cur), dim, 1, net.n_tokens)
    q = ops.rope(net.norm(q, net.need(il, "indexer.q_norm"), il), pos)
    k = ops.rope(net.norm(k, net.need(il, "indexer.k_norm"), il), pos)
    cache = k_cache(net, il, dim, "index_k")
    store_k(net, cache, k, blocks.k_idxs)
    return q, get_k(cache, dim, 1)


def _stored(net: Net, il: int, inputs: CacheInput, q: Node, k: Node, v: Node) -> tuple[Node, Node, Node]:
    """Queries, and keys and values of the cache with the new ones in it."""
    if inputs.k_rot is not None:
        q, k = hadamard(q, inputs.k_rot), hadamard(k, inputs.k_rot)
    if inputs.v_rot is not None:
        v = hadamard(v, inputs.v_rot)
    for node in (q, k, v):
        net.expand(node)
    heads = net.n_head_kv(il)
    k_all, v_all = k_cache(net, il, k.ne[0] * heads), v_cache(net, il, v.ne[0] * heads)
    store_k(net, k_all, k, inputs.k_idxs)
    store_v(net, v_all, v, inputs.v_idxs)
    return q, get_k(k_all, k.ne[0], heads), get_v(net, v_all, v.ne[0], heads)


def _streams(net: Net, q: Node, k: Node, v: Node, index_q: Node, index_k: Node, blocks: Blocks) -> Node:
    """One stream after the other, side by side in the end."""
    assert blocks.many is not None
    cur = _stream(net, 0, q, k, v, index_q, index_k, blocks, blocks.many)
    for st in range(1, k.ne[3]):
        cur = ops.concat(cur, _stream(net, st, q, k, v, index_q, index_k, blocks, blocks.many), 1)
    return cur


def _stream(net: Net, st: int, q: Node, k: Node, v: Node, index_q: Node, index_k: Node, blocks: Blocks, many: Expansion) -> Node:
    """One stream's attention: score positions, take the best blocks, mask the rest."""
    n = net.n_tokens // k.ne[3]
    dim, heads, cells = index_q.ne[0], index_q.ne[1], k.ne[2]
    index_q = ops.view_3d(index_q, dim, heads, n, index_q.nb[1], index_q.nb[2], st * n * index_q.nb[2])
    index_k = ops.view_2d(index_k, dim, cells, index_k.nb[2], st * index_k.nb[3])
    slots = ops.view_1d(blocks.cells_of, blocks.cells_of.ne[0], st * blocks.cells_of.nb[1])
    visible = _rows(blocks.visible, n, st)
    block_of = ops.view_1d(many.block_of, cells, st * many.block_of.nb[1])
    full = ops.view_3d(many.mask, cells, n, 1, many.mask.nb[1], many.mask.nb[3], st * many.mask.nb[3])
    bias = _rows(blocks.bias, n, st)
    q = ops.view_3d(q, q.ne[0], q.ne[1], n, q.nb[1], q.nb[2], st * n * q.nb[2])
    k, v = (ops.view_4d(t, (t.ne[0], t.ne[1], cells, 1), t.nb[1], t.nb[2], t.nb[3], st * t.nb[3]) for t in (k, v))
    best, block_bias = _best_blocks(net, index_q, index_k, slots, visible, bias)
    mask = _expanded(_block_mask(best, block_bias, heads, n), block_of, full, heads, n)
    return _attend(q, ops.permute(k, 0, 3, 1, 2), ops.permute(v, 0, 3, 1, 2), mask, q.ne[1] // k.ne[1])


def _rows(a: Node, n: int, st: int) -> Node:
    """The rows of one stream's tokens, as planes."""
    return ops.view_3d(a, a.ne[0], 1, n, a.nb[1], a.nb[1], st * n * a.nb[1])


def _best_blocks(net: Net, q: Node, keys: Node, slots: Node, visible: Node, bias: Node) -> tuple[Node, Node]:
    heads, n = q.ne[1], q.ne[2]
    scores = ops.mul_mat(ops.get_rows(keys, slots), ops.reshape(q, q.ne[0], heads * n))
    scores = ops.add_inplace(ops.reshape(scores, visible.ne[0], heads, n), visible)
    scores = ops.add(ops.pool_rows(scores, int(net.hp["attention.indexer.block_size"])), bias)
    return ops.top_k(scores, min(int(net.hp["attention.indexer.top_k"]), scores.ne[0])), bias


def _block_mask(best: Node, bias: Node, heads: int, n: int) -> Node:
    """Zero for the chosen blocks of every token and head, far below for the others."""
    count = bias.ne[0]
    hidden = ops.repeat_4d(ops.cast(ops.scale(bias), "f16"), count, heads, n, 1)
    zero = ops.scale(ops.cast(best, "f32"))
    hidden = ops.reshape(hidden, 1, count, heads * n)
    zero = ops.reshape(zero, 1, best.ne[0], heads * n)
    mask = ops.set_rows(hidden, zero, ops.reshape(best, best.ne[0], heads * n))
    return ops.cont(ops.permute(ops.reshape(mask, count, heads, n), 0, 2, 1, 3))


def _expanded(mask: Node, block_of: Node, full: Node, heads: int, n: int) -> Node:
    """The blocks' mask for every cell, together with the causal one."""
    cells = block_of.ne[0]
    by_block = ops.cont(ops.transpose(ops.reshape(mask, mask.ne[0], n * heads)))
    by_cell = ops.cont(ops.transpose(ops.get_rows(by_block, block_of)))
    both = ops.add_inplace(ops.reshape(by_cell, cells, n, heads), full)
    return ops.cast(ops.reshape(both, cells, n, 1, heads), "f16")


def _attend(q: Node, k: Node, v: Node, mask: Node, group: int) -> Node:
    """Flash attention of all groups of heads, and all streams, side by side (build_attn_msa_fa)."""
    dim, heads, n, channels = q.ne[0], q.ne[1], q.ne[2], k.ne[3]
    q = ops.permute(ops.reshape(q, dim, group, channels, heads * n // (group * channels)), 0, 2, 3, 1)
    cur = ops.permute(ops.flash_attn_ext(q, k, v, mask), 0, 1, 3, 2)
    return ops.reshape(cur if is_contiguous(cur) else ops.cont(cur), dim * heads, n)


# --- one token per stream ---------------------------------------------------------------------------------


def _gathered(net: Net, q: Node, k: Node, v: Node, index_q: Node, index_k: Node, blocks: Blocks) -> Node:
    """All streams at once: the best blocks' keys and values are gathered instead of masking the rest."""
    dim, kv_heads, cells, streams = k.ne
    size = int(net.hp["attention.indexer.block_size"])
    best = _best_of_streams(net, index_q, index_k, blocks)
    rows, channels = size * best.ne[0], kv_heads * streams
    positions, numbers = _chosen_rows(best, blocks, size, kv_heads)
    k, v = (ops.get_rows(ops.view_3d(t, dim, kv_heads * cells, streams, t.nb[1], t.nb[3]), numbers) for t in (k, v))
    seen = ops.get_rows(ops.reshape(blocks.visible, 1, blocks.visible.ne[0], streams), positions)
    k, v = (_as_stored(ops.reshape(t, dim, rows, 1, channels), type_) for t, type_ in ((k, net.settings.type_k), (v, net.settings.type_v)))
    mask = ops.cast(ops.reshape(seen, rows, 1, 1, channels), "f16")
    return _attend(q, k, v, mask, q.ne[1] // kv_heads)


def _best_of_streams(net: Net, q: Node, keys: Node, blocks: Blocks) -> Node:
    dim, heads, streams = q.ne[0], q.ne[1], keys.ne[3]
    size, positions, count = int(net.hp["attention.indexer.block_size"]), blocks.visible.ne[0], blocks.bias.ne[0]
    keys = ops.get_rows(ops.view_3d(keys, dim, keys.ne[2], streams, keys.nb[2], keys.nb[3]), blocks.cells_of)
    scores = ops.mul_mat(ops.reshape(keys, dim, positions, 1, streams), ops.reshape(q, dim, heads, 1, streams))
    scores = ops.add_inplace(scores, ops.reshape(blocks.visible, positions, 1, 1, streams))
    scores = ops.add(ops.pool_rows(scores, size), ops.reshape(blocks.bias, count, 1, 1, streams))
    return ops.top_k(scores, min(int(net.hp["attention.indexer.top_k"]), count))


def _chosen_rows(best: Node, blocks: Blocks, size: int, kv_heads: int) -> tuple[Node, Node]:
    """Numbers of the chosen positions, and of their rows in the cache."""
    used, heads, _, streams = best.ne
    starts = ops.reshape(ops.scale(ops.cast(best, "f32")), 1, used, heads, streams)
    positions = ops.add(ops.repeat_4d(starts, size, used, heads, streams), ops.reshape(ops.arange(size), size, 1, 1))
    positions = ops.cast(ops.reshape(positions, size * used * heads, streams), "i32")
    assert blocks.cell_values is not None
    cells = ops.get_rows(ops.reshape(blocks.cell_values, 1, blocks.cell_values.ne[0], streams), positions)
    cells = ops.scale(ops.reshape(cells, size, used, heads, streams))
    rows = ops.add(cells, ops.reshape(ops.arange(kv_heads), 1, 1, heads))
    return positions, ops.cast(ops.reshape(rows, size * used * heads, streams), "i32")


def _as_stored(rows: Node, type_: str) -> Node:
    """Gathered rows in the cache's own type, or in F16 where that is quantised."""
    wanted = "f16" if TYPES[type_].elements > 1 else type_
    return rows if rows.type == wanted else ops.cast(rows, wanted)


# --- experts ----------------------------------------------------------------------------------------------


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il, act="swiglu_oai")
    norm, scale = bool(net.hp.get("expert_weights_norm")), float(net.hp.get("expert_weights_scale") or 0.0)
    gating = GATING[int(net.hp.get("expert_gating_func") or 2)]
    bias = net.b(il, "exp_probs_b")
    routed = moe(net, cur, il, gating=gating, norm=norm, scaled=scale not in (0.0, 1.0), bias=bias, act="swiglu_oai")
    return ops.add(routed, net.ffn(cur, il, "_shexp", act="swiglu_oai"))
