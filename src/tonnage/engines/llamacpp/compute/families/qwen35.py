"""Qwen3-Next, Qwen3.5 and their successors: gated delta nets with gated attention between them.

Source: src/models/{qwen3next,qwen35,qwen35moe}.cpp, build 11434.
"""

from collections.abc import Callable

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import CacheInput, attn, attn_inputs
from tonnage.engines.llamacpp.compute.delta import conv_input, recurrent_attn, unit_length
from tonnage.engines.llamacpp.compute.experts import moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import (
    States,
    by_sequence,
    is_recurrent,
    read_states,
    state_cache,
    state_inputs,
    unwanted_dropped_late,
)  # fmt: skip

ConvInput = Callable[[Net, States, Node, int], Node]


def build(net: Net) -> Graph:
    """The whole decoder; blocks of multi-token prediction are not run."""
    cur = net.inp_embd()
    states, inputs, pos, out_ids = state_inputs(net), attn_inputs(net).full, net.inp_pos(), net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        cur = net.expand(net.norm(cur, net.need(il, "attn_norm"), il))
        cur = delta_net_block(net, states, cur, il) if is_recurrent(net, il) else _attention(net, inputs, cur, pos, il)
        residual = ops.add(cur, residual)
        cur = net.norm(residual, net.need(il, "post_attention_norm"), il)
        cur = ops.add(feed_forward(net, cur, il), residual)
    return net.graph(unwanted_dropped_late(net, cur, out_ids))


def _attention(net: Net, inputs: CacheInput, cur: Node, pos: Node, il: int) -> Node:
    """Attention whose query projection also yields the gate of its output."""
    q, k, v, gate = gated_qkv(net, cur, pos, il)
    cur = attn(net, inputs, il, q, k, v, wo=False)
    return net.mm(net.need(il, "attn_output"), ops.mul(cur, ops.unary(gate, "sigmoid")))


def gated_qkv(net: Net, cur: Node, pos: Node, il: int) -> tuple[Node, Node, Node, Node]:
    """Queries, keys and values as heads, and the gate of the output."""
    n, d, heads, kv_heads = net.n_tokens, net.hp.k_dim, net.n_head(il), net.n_head_kv(il)
    both, k, v = (net.mm(net.need(il, f"attn_{x}"), cur, net.b(il, f"attn_{x}")) for x in "qkv")
    if net.arch == "qwen3next":
        both = ops.reshape(both, 2 * d, heads, n)
    q = ops.view_3d(both, d, heads, n, 8 * d, 8 * d * heads)
    gate = ops.cont(ops.view_3d(both, d, heads, n, 8 * d, 8 * d * heads, 4 * d), d * heads, n)
    q = net.norm(q, net.need(il, "attn_q_norm"), il)
    k = net.norm(ops.reshape(k, d, kv_heads, n), net.need(il, "attn_k_norm"), il)
    v = ops.reshape(v, d, kv_heads, n)
    return ops.rope(q, pos), ops.rope(k, pos), v, gate


# --- the gated delta net -------------------------------------------------------------------------------


def delta_net_block(net: Net, states: States, cur: Node, il: int, gate_act: str = "silu", store: ConvInput = conv_input) -> Node:
    """A gated delta net; `store` is how the convolution's inputs are kept."""
    d_inner, d_state, groups, heads = (int(net.hp[f"ssm.{key}"]) for key in ("inner_size", "state_size", "group_count", "time_step_rank"))
    n_seqs, v_dim = net.n_seqs, d_inner // heads
    n = net.n_tokens // n_seqs
    mixed, z = by_sequence(net, net.mm(net.need(il, "attn_qkv"), cur)), net.mm(net.need(il, "attn_gate"), cur)
    beta, gate = (_joint_gates if net.w(il, "ssm_ba") is not None else _gates)(net, cur, il, groups, heads)
    conv = store(net, states, mixed, il)
    cache = state_cache(net, il)
    state = ops.reshape(read_states(net, states, cache), v_dim, v_dim, heads, n_seqs)
    qkv = ops.unary(ops.ssm_conv(conv, net.need(il, "ssm_conv1d")), "silu")
    row = 4 * (2 * d_state * groups + d_inner)
    q, k = (ops.view_4d(qkv, (d_state, groups, n, n_seqs), 4 * d_state, row, row * n, i * 4 * d_state * groups) for i in range(2))
    v = ops.view_4d(qkv, (v_dim, heads, n, n_seqs), 4 * v_dim, row, row * n, 8 * d_state * groups)
    q, k = (_as_many_heads(net, unit_length(t), heads) for t in (q, k))
    cur = recurrent_attn(net, cache, q, k, v, gate, beta, state)
    z = ops.reshape(z, v_dim, heads, n, n_seqs)
    cur = ops.mul(net.norm(cur, net.need(il, "ssm_norm"), il), ops.unary(z, gate_act))
    cur = net.mm(net.need(il, "ssm_out"), ops.reshape(cur, d_inner, n, n_seqs))
    return ops.reshape(cur, net.n_embd, net.n_tokens)


def _gates(net: Net, cur: Node, il: int, groups: int, heads: int) -> tuple[Node, Node]:
    """How much each token writes, and how much of the state it keeps."""
    n_seqs = net.n_seqs
    n = net.n_tokens // n_seqs
    beta = ops.unary(ops.reshape(net.mm(net.need(il, "ssm_beta"), cur), 1, heads, n, n_seqs), "sigmoid")
    alpha = ops.reshape(net.mm(net.need(il, "ssm_alpha"), cur), heads, n, n_seqs)
    return beta, ops.reshape(_decay(net, alpha, il), 1, heads, n, n_seqs)


def _joint_gates(net: Net, cur: Node, il: int, groups: int, heads: int) -> tuple[Node, Node]:
    """The same from one projection (Qwen3-Next)."""
    n_seqs, each = net.n_seqs, heads // groups
    n = net.n_tokens // n_seqs
    both = ops.reshape(net.mm(net.need(il, "ssm_ba"), cur), 2 * each, groups, n, n_seqs)
    b, a = (ops.view_4d(both, (each, groups, n, n_seqs), both.nb[1], both.nb[2], both.nb[3], i * each * 4) for i in range(2))
    beta = ops.unary(ops.cont(b), "sigmoid")
    gate = _decay(net, ops.cont(a, heads, n, n_seqs), il)
    return ops.reshape(beta, 1, heads, n, n_seqs), ops.reshape(gate, 1, heads, n, n_seqs)


def _decay(net: Net, alpha: Node, il: int) -> Node:
    bias, a = net.b(il, "ssm_dt"), net.weight(f"blk.{il}.ssm_a")
    if bias is None or a is None:
        raise KeyError(f"blk.{il}.ssm_dt.bias, blk.{il}.ssm_a")
    return ops.mul(ops.unary(ops.add(alpha, bias), "softplus"), a)


def _as_many_heads(net: Net, cur: Node, heads: int) -> Node:
    """Keys and queries repeated for every value head; the fused operation of Qwen3.5 does it itself."""
    d, groups, n, n_seqs = cur.ne
    if groups == heads or net.arch != "qwen3next":
        return cur
    # each head beside its copies
    cur = ops.repeat_4d(ops.reshape(cur, d, 1, groups, n * n_seqs), d, heads // groups, groups, n * n_seqs)
    return ops.reshape(cur, d, heads, n, n_seqs)


# --- feed-forward --------------------------------------------------------------------------------------


def feed_forward(net: Net, cur: Node, il: int) -> Node:
    """Dense, or routed experts and a shared one with a gate of its own."""
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    routed = moe(net, cur, il, scaled=float(net.hp.get("expert_weights_scale") or 0.0) not in (0.0, 1.0))
    if net.w(il, "ffn_up_shexp") is None:
        return routed
    shared = net.ffn(cur, il, "_shexp")
    gate = ops.unary(net.mm(net.need(il, "ffn_gate_inp_shexp"), cur), "sigmoid")
    return ops.add(routed, ops.mul(shared, gate))
