"""Qwen3.8-Flash-Next: Qwen3.5's mixers on residual streams, sparse attention, n-gram embeddings (src/models/qwen4exp.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import (
    CacheInput,
    attn,
    attn_inputs,
    get_k,
    get_v,
    hadamard,
    k_cache,
    mha,
    store_k,
    store_v,
    v_cache,
)  # fmt: skip
from tonnage.engines.llamacpp.compute.families.qwen35 import delta_net_block, feed_forward, gated_qkv
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.hyper import open_streams, wanted
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.ngram import ngram_rows, stored_conv, with_ngrams
from tonnage.engines.llamacpp.compute.pooled import (
    Pools,
    all_pooled,
    chosen_cells,
    new_rows,
    nothing_seen,
    only_live,
    pool_cache,
    pool_inputs,
)  # fmt: skip
from tonnage.engines.llamacpp.compute.recurrent import conv_cache, head, is_recurrent, state_inputs
from tonnage.model.types import Attention


def build(net: Net) -> Graph:
    """Every part reads a mix of all streams and is dealt back to them; a last mix stands for the final norm."""
    cur = net.inp_embd()
    states, inputs = state_inputs(net), attn_inputs(net).full
    pools = _pools(net)
    pos, out_ids = net.inp_pos(), net.inp_out_ids()
    ngrams = ngram_rows(net)
    streams = net.expand(open_streams(net, cur))
    for il in net.blocks:
        if ngrams is not None and net.w(il, "ple_key") is not None:
            streams = with_ngrams(net, states, ngrams, streams, il)
        cur, inject = _mix(net, streams, f"blk.{il}.hc_attn")
        net.expand(cur)
        if is_recurrent(net, il):
            cur = delta_net_block(net, states, cur, il, "sigmoid", lambda n, s, c, i: stored_conv(n, s, conv_cache(n, i), c))
        else:
            cur = _attention(net, inputs, pools, cur, pos, il)
        if il == net.n_layer - 1:
            cur, inject = ops.get_rows(cur, out_ids), ops.get_rows(inject, out_ids)
            streams = wanted(streams, out_ids)
        streams = _deal(net, streams, cur, inject)
        cur, inject = _mix(net, streams, f"blk.{il}.hc_ffn")
        streams = net.pin(_deal(net, streams, feed_forward(net, cur, il), inject), il)
    cur = _last_mix(net, streams)
    cur.flags |= OUTPUT
    return net.graph(head(net, cur))


# --- residual streams -----------------------------------------------------------------------------------


def _gates(net: Net, streams: Node, name: str) -> tuple[Node, Node]:
    """All streams normalised in one row per token, and a gate of low rank for each element."""
    d, hc, n = streams.ne[:3]
    normed = ops.mul(ops.rms_norm(streams), ops.as_loaded(_weight(net, f"{name}_norm"), d, hc))
    normed = ops.reshape(normed, d * hc, n)
    low = ops.unary(ops.scale(net.mm(_weight(net, f"{name}_down"), normed)), "silu")
    return normed, net.mm(_weight(net, f"{name}_up"), low)


def _mix(net: Net, streams: Node, name: str) -> tuple[Node, Node]:
    """One input of all streams, and how much of the part's output each stream gets (build_hc_mix)."""
    d, hc, n = streams.ne[:3]
    normed, gate = _gates(net, streams, name)
    fused = net.fuses("DSV4_HC_PRE")
    mixed = ops.hc_pre(ops.reshape(normed, d, hc, n), ops.reshape(gate, d, hc, n)) if fused else _gated_mean(normed, gate, d, hc, n)
    return mixed, net.mm(_weight(net, f"{name}_inject"), normed)


def _last_mix(net: Net, streams: Node) -> Node:
    d, hc, n = streams.ne[:3]
    return _gated_mean(*_gates(net, streams, "output_hc"), d, hc, n)


def _gated_mean(normed: Node, gate: Node, d: int, hc: int, n: int) -> Node:
    """The mean of all streams times their gates, step by step."""
    gated = ops.reshape(ops.mul(normed, ops.unary(gate, "sigmoid")), d, hc, n)
    total = ops.cont(ops.view_2d(gated, d, n, 4 * d * hc))
    for i in range(1, hc):
        total = ops.add(total, ops.view_2d(gated, d, n, 4 * d * hc, 4 * d * i))
    return ops.scale(total)


def _deal(net: Net, streams: Node, cur: Node, inject: Node) -> Node:
    """build_hc_combine."""
    weights = ops.scale(ops.unary(ops.scale(inject), "sigmoid"))
    if net.fuses("DSV4_HC_POST"):
        return ops.hc_post(cur, streams, weights)
    d, hc, n = streams.ne[:3]
    dealt = ops.repeat_4d(ops.reshape(cur, d, 1, n), d, hc, n, 1)
    return ops.add(streams, ops.mul(dealt, ops.reshape(weights, 1, hc, n)))


def _weight(net: Net, name: str) -> Node:
    weight = net.weight(f"{name}.weight")
    if weight is None:
        raise KeyError(f"{name}.weight")
    return weight


# --- sparse attention -----------------------------------------------------------------------------------


def _ratios(net: Net) -> tuple[int, ...]:
    return tuple(int(ratio or 0) for ratio in net.hp.per_layer("attention.compress_ratios", 0))


def _pools(net: Net) -> Pools | None:
    """Inputs of the indexer, where any block pools."""
    sizes = [ratio for ratio in _ratios(net) if ratio]
    return pool_inputs(net, sizes[0]) if sizes and net.hp.get("attention.indexer.key_length") else None


def _attention(net: Net, inputs: CacheInput, pools: Pools | None, cur: Node, pos: Node, il: int) -> Node:
    seen = None if pools is None or not _ratios(net)[il] else _choose(net, pools, cur, pos, inputs.mask, il)
    q, k, v, gate = gated_qkv(net, cur, pos, il)
    cur = attn(net, inputs, il, q, k, v, wo=False) if seen is None else _masked_attn(net, inputs, il, q, k, v, seen)
    return net.mm(net.need(il, "attn_output"), ops.mul(cur, ops.unary(gate, "sigmoid")))


def _masked_attn(net: Net, inputs: CacheInput, il: int, q: Node, k: Node, v: Node, seen: Node) -> Node:
    """Attention under the chosen mask (build_attn_qsa)."""
    if inputs.k_rot is not None:
        q, k = hadamard(q, inputs.k_rot), hadamard(k, inputs.k_rot)
    if inputs.v_rot is not None:
        v = hadamard(v, inputs.v_rot)
    for node in (q, v, k):
        net.expand(node)
    mixer = next(m for m in net.model.layers[il].mixers if isinstance(m, Attention))
    k_all, v_all = k_cache(net, il, mixer.k_dim * mixer.kv_heads), v_cache(net, il, mixer.v_dim * mixer.kv_heads)
    store_k(net, k_all, k, inputs.k_idxs)
    store_v(net, v_all, v, inputs.v_idxs)
    mask = ops.reshape(seen, *inputs.mask.ne)
    cur = mha(net, q, get_k(k_all, mixer.k_dim, mixer.kv_heads), get_v(net, v_all, mixer.v_dim, mixer.kv_heads), mask)
    return cur if inputs.v_rot is None else hadamard(cur, inputs.v_rot)


def _choose(net: Net, pools: Pools, cur: Node, pos: Node, mask: Node, il: int) -> Node:
    """The mask of what every token attends to (build_qsa_sel)."""
    heads, dim, n = int(net.hp["attention.indexer.head_count"]), int(net.hp["attention.indexer.key_length"]), net.n_tokens
    keys = _pooled_keys(net, pools, cur, dim, il)
    q = ops.reshape(net.mm(net.need(il, "indexer.q_proj"), cur), dim, heads, n)
    q = ops.rope(net.norm(q, net.need(il, "indexer.q_norm"), il), pos)
    score = ops.lightning_indexer(q, keys, ops.filled("f32", heads, n), pools.mask)
    top = ops.top_k(score, pools.used)
    chosen = net.expand(chosen_cells(pools, top, tail=True))
    cells, count = mask.ne[0], chosen.ne[0]
    hidden, zeros = nothing_seen(mask, cells, count, n)
    live = _live(pools, score, top)
    chosen = only_live(chosen, live, ops.scale(ops.cumsum(ops.fill(live))))
    seen = ops.set_rows(hidden, zeros, ops.reshape(chosen, count, n, 1))
    row = seen.nb[2]
    seen = ops.view_4d(seen, mask.ne, row, row * mask.ne[1], row * mask.ne[1] * mask.ne[2])
    return ops.add(seen, mask)


def _live(pools: Pools, score: Node, top: Node) -> Node:
    """Which choices count: visible pools, and cells of the tail that exist."""
    n, size, used = score.ne[1], pools.size, pools.used
    found = ops.get_rows(ops.reshape(score, 1, pools.count, n), top)
    visible = ops.repeat_4d(ops.clamp(ops.scale(found)), size, used, n, 1)
    tail = ops.clamp(ops.scale(ops.cast(pools.tail, "f32")))
    return ops.concat(ops.reshape(visible, size * used, n), tail, 0)


def _pooled_keys(net: Net, pools: Pools, cur: Node, dim: int, il: int) -> Node:
    """Store raw keys, then one key per pool: their mean, normalised and rotated."""
    n = net.n_tokens
    packed = ops.concat(net.mm(net.need(il, "indexer.k_proj"), cur), ops.filled("f32", dim, n), 0)
    cache, columns = pool_cache(net, il, dim, 2)
    store_k(net, cache, ops.reshape(packed, 2 * dim, 1, n), pools.k_idxs)
    rows = new_rows(pools, columns)
    parts = [ops.view_2d(rows, dim, pools.new, rows.nb[2], i * rows.nb[1]) for i in range(pools.size)]
    total = ops.cont(parts[0])
    for part in parts[1:]:
        total = ops.add(total, part)
    fresh = net.norm(ops.scale(total), net.need(il, "indexer.k_norm"), il)
    fresh = ops.rope(ops.reshape(fresh, dim, 1, pools.new), pools.new_positions)
    return all_pooled(net, pools, columns, ops.reshape(fresh, dim, pools.new))
