"""GLM-5.3-Flash: Kimi delta attention with sparse latent attention between, on residual streams (src/models/glm5-next.cpp)."""

from tonnage.engines.llamacpp.compute import hyper, ops
from tonnage.engines.llamacpp.compute.attention import get_k, k_cache, mha, store_k
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.families.deepseek4 import activation
from tonnage.engines.llamacpp.compute.families.deepseek32 import owns_indexer
from tonnage.engines.llamacpp.compute.families.kimi import kda
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.mla import LatentInput, latent_input
from tonnage.engines.llamacpp.compute.net import Net
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
from tonnage.engines.llamacpp.compute.recurrent import is_recurrent, state_inputs

GATHERED_UBATCH = 16
"""batches up to this size gather what they attend to instead of masking the rest"""


def build(net: Net) -> Graph:
    """Residual streams around either attention and experts; their mean goes to the head."""
    cur = net.inp_embd()
    states, inputs = state_inputs(net), latent_input(net)
    size = int(net.hp["attention.indexer.kpool"])
    pools = pool_inputs(net, size, live=size - 1 if _selects_tail(net) else 0)
    out_ids = net.inp_out_ids()
    streams = hyper.open_streams(net, cur)
    seen: Node | None = None
    for il in net.blocks:
        site = hyper.mixed(net, streams, il, "hc_attn")
        cur = net.expand(net.norm(site.cur, net.need(il, "attn_norm"), il))
        if is_recurrent(net, il):
            cur = kda(net, states, cur, il)
        else:
            cur, seen = _sparse(net, inputs, pools, cur, seen, il)
        site = hyper.mixed(net, site.close(cur), il, "hc_ffn")
        streams = site.close(_feed_forward(net, net.norm(site.cur, net.need(il, "ffn_norm"), il), il))
    return net.graph(net.output(hyper.mean(hyper.wanted(streams, out_ids))))


def _selects_tail(net: Net) -> bool:
    return bool(net.hp.get("attention.indexer.kpool_select_tail"))


def _gathers(net: Net) -> bool:
    """Whether latents are gathered for every token: small batches over more context than a token may attend to."""
    pool, settings = int(net.hp["attention.indexer.kpool"]), net.settings
    return settings.ubatch <= GATHERED_UBATCH and settings.n_ctx > int(net.hp["attention.indexer.top_k"]) + pool - 1


def _sparse(net: Net, inputs: LatentInput, pools: Pools, cur: Node, seen: Node | None, il: int) -> tuple[Node, Node]:
    """Latent attention without rotation, to what the block's indexer or the last one before it chose (build_dsa_layer)."""
    n, rank = net.n_tokens, int(net.hp["attention.kv_lora_rank"])
    low = net.norm(net.mm(net.need(il, "attn_q_a"), cur), net.need(il, "attn_q_a_norm"), il)
    q = ops.reshape(net.mm(net.need(il, "attn_q_b"), low), int(net.hp["attention.key_length_mla"]), net.n_head(il), n)
    latent = net.norm(net.mm(net.need(il, "attn_kv_a_mqa"), cur), net.need(il, "attn_kv_a_norm"), il)
    latent = ops.reshape(latent, rank, 1, n)
    q = ops.permute(ops.mul_mat(net.need(il, "attn_k_b"), ops.permute(q, 0, 2, 1, 3)), 0, 2, 1, 3)
    if seen is None or owns_indexer(net, il):
        seen = _choose(net, pools, cur, low, inputs.mask, il)
    net.expand(q)
    net.expand(latent)
    cache = k_cache(net, il, rank)
    store_k(net, cache, latent, inputs.k_idxs)
    out = (_gathered if _gathers(net) else _masked)(net, inputs, pools, cache, q, seen, il)
    return net.mm(net.need(il, "attn_output"), out), seen


def _masked(net: Net, inputs: LatentInput, pools: Pools, cache: Node, q: Node, seen: Node, il: int) -> Node:
    """Attention to the whole cache under a mask."""
    keys = get_k(cache, cache.ne[0], 1)
    values = ops.view_4d(keys, keys.ne, keys.nb[1], keys.nb[2], keys.nb[3])
    return mha(net, q, keys, values, ops.reshape(seen, *inputs.mask.ne), v_mla=net.need(il, "attn_v_b"))


def _gathered(net: Net, inputs: LatentInput, pools: Pools, cache: Node, q: Node, chosen: Node, il: int) -> Node:
    """Attention of every token to copies of the latents that it chose, step by step."""
    net.expand(inputs.mask)
    rank, count, n = cache.ne[0], *chosen.ne[:2]
    rows = ops.view_2d(cache, rank, cache.ne[1] * cache.ne[2], cache.nb[1])
    keys = ops.reshape(ops.get_rows(rows, ops.reshape(chosen, count * n)), rank, count, 1, n)
    probs = ops.soft_max(ops.mul_mat(keys, ops.permute(q, 0, 2, 3, 1)), pools.live)
    mixed = ops.mul_mat(net.need(il, "attn_v_b"), ops.mul_mat(ops.cont(ops.transpose(keys)), probs))
    return ops.reshape(ops.cont(ops.permute(mixed, 0, 2, 1, 3)), mixed.ne[0] * net.n_head(il), n)


def _choose(net: Net, pools: Pools, cur: Node, low: Node, mask: Node, il: int) -> Node:
    """The mask of what every token attends to, or the numbers of the cells where they are gathered (build_kpool_select)."""
    heads, dim, n = int(net.hp["attention.indexer.head_count"]), int(net.hp["attention.indexer.key_length"]), net.n_tokens
    q = ops.reshape(net.mm(net.need(il, "indexer.attn_q_b"), low), dim, heads, n)
    keys = _pooled_keys(net, pools, cur, dim, il)
    weights = ops.scale(net.mm(net.need(il, "indexer.proj"), cur))
    score = ops.lightning_indexer(q, keys, weights, pools.mask)
    chosen = chosen_cells(pools, _best_first(pools, score), tail=_selects_tail(net))
    if _gathers(net):
        return chosen
    net.expand(chosen)
    cells, count = mask.ne[0], chosen.ne[0]
    hidden, zeros = nothing_seen(mask, cells, count, n)
    assert pools.live is not None
    live = ops.unary(ops.reshape(pools.live, count, n), "exp")
    chosen = only_live(chosen, live, ops.arange(count))
    seen = ops.set_rows(hidden, zeros, ops.reshape(chosen, count, n, 1))
    seen = ops.view_2d(seen, cells, n, seen.nb[2])
    return ops.add(seen, ops.reshape(mask, cells, n))


def _pooled_keys(net: Net, pools: Pools, cur: Node, dim: int, il: int) -> Node:
    """Store keys and gates, then one key per pool: the keys' mean, weighted by their gates channel by channel."""
    n = net.n_tokens
    k = net.norm(net.mm(net.need(il, "indexer.attn_k"), cur), net.need(il, "indexer.k_norm"), il, bias=net.b(il, "indexer.k_norm"), rms=False)
    gate = net.mm(net.need(il, "indexer_compressor_gate"), cur)
    packed = ops.concat(ops.concat(k, gate, 0), ops.filled("f32", dim, n), 0)
    cache, columns = pool_cache(net, il, dim, 3)
    store_k(net, cache, ops.reshape(packed, 3 * dim, 1, n), pools.k_idxs)
    rows = new_rows(pools, columns)
    keys, gates = (ops.view_3d(rows, dim, pools.size, pools.new, rows.nb[1], rows.nb[2], i * 4 * dim) for i in range(2))
    logits = ops.cont(ops.permute(ops.add(gates, net.need(il, "indexer_compressor_ape")), 1, 0, 2, 3))
    probs = ops.soft_max(ops.reshape(logits, pools.size, dim * pools.new))
    probs = ops.reshape(probs, pools.size, dim, pools.new)
    fresh = ops.sum_rows(ops.mul(probs, ops.cont(ops.permute(keys, 1, 0, 2, 3))))
    return all_pooled(net, pools, columns, ops.reshape(fresh, dim, pools.new))


def _best_first(pools: Pools, score: Node) -> Node:
    """Numbers of the best pools, the best first."""
    n, used = score.ne[1], pools.used
    top = ops.top_k(score, used)
    found = ops.get_rows(ops.reshape(score, 1, pools.count, n), top)
    order = ops.argsort(ops.reshape(found, used, n))
    top = ops.get_rows(ops.reshape(ops.cast(top, "f32"), 1, used, n), order)
    return ops.cast(ops.cont(ops.reshape(top, used, n)), "i32")


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    """Dense, or routed experts and a shared one."""
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il, act=activation(net, il, "shexp"))
    norm, scale = bool(net.hp.get("expert_weights_norm")), float(net.hp.get("expert_weights_scale") or 0.0)
    gating = GATING[int(net.hp.get("expert_gating_func") or 2)]
    bias, act = net.b(il, "exp_probs_b"), activation(net, il, "exp")
    routed = moe(net, cur, il, gating=gating, norm=norm, scaled=scale not in (0.0, 1.0), bias=bias, act=act)
    return ops.add(routed, net.ffn(cur, il, "_shexp", act=activation(net, il, "shexp")))
