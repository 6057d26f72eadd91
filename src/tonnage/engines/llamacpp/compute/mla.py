"""Multi-head latent attention with absorbed projections: one compressed key per token for all heads.

Source: build_attn(llm_graph_input_attn_k) in src/llama-graph.cpp and src/models/deepseek2.cpp, build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import get_k, k_cache, kq_mask, mha, store_k
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.frozen import dataclass


@dataclass(frozen=True, slots=True)
class LatentInput:
    """What a cache of keys alone needs per batch (build_attn_inp_k)."""

    k_idxs: Node
    mask: Node


def latent_input(net: Net) -> LatentInput:
    """Where to store keys, and what may be seen."""
    return LatentInput(net.input("attn_inp_k_idxs", "i64", net.n_tokens), kq_mask(net, net.settings.cells))


def latent_attn(net: Net, inputs: LatentInput, il: int, q: Node, k: Node, v: Node, *, wo: bool = True) -> Node:
    """Store the latent keys and attend; values are the keys' first part."""
    for node in (q, v, k):
        net.expand(node)
    row = k.ne[0]
    cache = k_cache(net, il, row)
    store_k(net, cache, k, inputs.k_idxs)
    keys = get_k(cache, row, 1)
    values = ops.view_4d(keys, (v.ne[0], *keys.ne[1:]), keys.nb[1], keys.nb[2], keys.nb[3])
    cur = mha(net, q, keys, values, inputs.mask, v_mla=net.need(il, "attn_v_b"))
    return net.mm(net.need(il, "attn_output"), cur) if wo else cur


def latent_queries(net: Net, il: int, cur: Node, head_dim: int) -> Node:
    """Queries as heads, by way of a low rank where there is one."""
    if net.w(il, "attn_q") is None:
        cur = net.norm(net.mm(net.need(il, "attn_q_a"), cur), net.need(il, "attn_q_a_norm"), il)
        cur = net.mm(net.need(il, "attn_q_b"), cur)
    else:
        cur = net.mm(net.need(il, "attn_q"), cur)
    return ops.reshape(cur, head_dim, net.n_head(il), net.n_tokens)


def latent_qkv(net: Net, il: int, cur: Node, pos: Node) -> tuple[Node, Node, Node]:
    """Absorbed queries, latent keys and latent values of a block (DeepSeek V2 and its like)."""
    return absorbed_qkv(net, il, cur, pos, latent_queries(net, il, cur, int(net.hp["attention.key_length_mla"])))


def absorbed_qkv(net: Net, il: int, cur: Node, pos: Node, q: Node) -> tuple[Node, Node, Node]:
    """As `latent_qkv`, with the queries of all heads already there: as heads or as one row per token."""
    n, heads = net.n_tokens, net.n_head(il)
    head_dim, rank = int(net.hp["attention.key_length_mla"]), int(net.hp["attention.kv_lora_rank"])
    rope_dim = int(net.hp["attention.key_length"]) - rank
    nope, head = head_dim - rope_dim, ops.row_size("f32", head_dim)
    both = net.mm(net.need(il, "attn_kv_a_mqa"), cur)
    row = ops.row_size("f32", rank + rope_dim)
    latent = ops.view_2d(both, rank, n, row)
    k_pe = ops.rope(ops.view_3d(both, rope_dim, 1, n, row, row, ops.row_size("f32", rank)), pos)
    latent = net.norm(latent, net.need(il, "attn_kv_a_norm"), il)
    q_nope = ops.view_3d(q, nope, heads, n, head, head * heads)
    q_pe = ops.rope(ops.view_3d(q, rope_dim, heads, n, head, head * heads, ops.row_size("f32", nope)), pos)
    absorbed = ops.mul_mat(net.need(il, "attn_k_b"), ops.permute(q_nope, 0, 2, 1, 3))
    absorbed = ops.permute(absorbed, 0, 2, 1, 3)
    v = ops.reshape(latent, rank, 1, n)
    return ops.concat(absorbed, q_pe, 0), ops.concat(v, k_pe, 0), v
