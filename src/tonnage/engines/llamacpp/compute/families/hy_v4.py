"""Hy4: sparse latent attention with sinks and a gate, on residual streams that are computed in F32 (src/models/hy-v4.cpp)."""

from tonnage.engines.llamacpp.compute import hyper, ops
from tonnage.engines.llamacpp.compute.dsa import SparseInput, attend, chosen, sparse_input
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.families.deepseek4 import activation
from tonnage.engines.llamacpp.compute.families.deepseek32 import owns_indexer
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.mla import LatentInput, absorbed_qkv, latent_input
from tonnage.engines.llamacpp.compute.net import Net


def build(net: Net) -> Graph:
    """DeepSeek V3.2's order between residual streams; unwanted tokens leave at the very end."""
    cur, pos = net.inp_embd(), net.inp_pos()
    inputs = sparse_input(net, turned=False) if net.hp.get("attention.indexer.top_k") else latent_input(net)
    out_ids = net.inp_out_ids()
    streams = hyper.open_streams(net, cur)
    top: Node | None = None
    for il in net.blocks:
        cur, post = _mixed(net, streams, il, "hc_attn")
        cur, top = _attention(net, inputs, il, net.norm(cur, net.need(il, "attn_norm"), il), pos, top)
        streams = _dealt(cur, streams, post)
        cur, post = _mixed(net, streams, il, "hc_ffn")
        cur = _feed_forward(net, net.norm(cur, net.need(il, "ffn_norm"), il), il)
        streams = _dealt(cur, streams, post)
    return net.graph(net.output(_joined(net, hyper.wanted(streams, out_ids))))


# --- residual streams -----------------------------------------------------------------------------------


def _mixed(net: Net, streams: Node, il: int, name: str) -> tuple[Node, Node]:
    """One input of all streams, and how the part's output is dealt to them (build_hc_pre)."""
    hc = streams.ne[1]
    scale, base = net.need(il, f"{name}_scale"), net.need(il, f"{name}_base")
    mixes = hyper.mixing_values(streams, net.need(il, f"{name}_fn"))
    pre = ops.scale(hyper.gate(hyper.columns(mixes, hc, 0), ops.view_1d(scale, 1), ops.view_1d(base, hc)))
    post = hyper.gate(hyper.columns(mixes, hc, hc), ops.view_1d(scale, 1, 4), ops.view_1d(base, hc, 4 * hc))
    return _reduced(streams, pre), ops.scale(ops.scale(post))


def _reduced(streams: Node, weights: Node) -> Node:
    """hy_v4_hc_reduce: also copies what is in F32 already."""
    return ops.cast(hyper.weighted_sum(ops.cast(streams, "f32"), weights), streams.type)


def _dealt(cur: Node, streams: Node, post: Node) -> Node:
    """build_hc_post: stream after stream, all of it copied to F32 and back."""
    d, hc, n = streams.ne[:3]
    cur, post, before = ops.cast(cur, "f32"), ops.cast(post, "f32"), ops.cast(streams, "f32")
    out: Node | None = None
    for i in range(hc):
        stream = ops.view_2d(before, d, n, before.nb[2], i * before.nb[1])
        part = ops.view_2d(post, 1, n, post.nb[1], i * post.nb[0])
        stream = ops.reshape(ops.add(stream, ops.mul(cur, part)), d, 1, n)
        out = stream if out is None else ops.concat(out, stream, 1)
    assert out is not None
    return ops.cast(out, streams.type)


def _joined(net: Net, streams: Node) -> Node:
    return _reduced(streams, hyper.joining_weights(net, streams))


# --- attention and experts ------------------------------------------------------------------------------


def _attention(net: Net, inputs: SparseInput | LatentInput, il: int, cur: Node, pos: Node, top: Node | None) -> tuple[Node, Node | None]:
    """Latent attention to what an indexer chose, or to everything in files that have none."""
    rank = net.norm(net.mm(net.need(il, "attn_q_a"), cur), net.need(il, "attn_q_a_norm"), il)
    if isinstance(inputs, SparseInput) and (top is None or owns_indexer(net, il)):
        top = chosen(net, inputs, il, cur, rank, pos)
    q, k, v = absorbed_qkv(net, il, cur, pos, net.mm(net.need(il, "attn_q_b"), rank))
    out = attend(net, inputs, il, q, k, v, top, sinks=net.need(il, "attn_sinks"))
    gate = ops.unary(net.mm(net.need(il, "attn_gate"), cur), "sigmoid")
    return net.mm(net.need(il, "attn_output"), ops.mul(out, gate)), top


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    """Dense, or routed experts whose gates may be bounded, and a shared one whose gate is not."""
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    norm, scale = bool(net.hp.get("expert_weights_norm")), float(net.hp.get("expert_weights_scale") or 0.0)
    gating = GATING[int(net.hp.get("expert_gating_func") or 2)]
    bias, act = net.b(il, "exp_probs_b"), activation(net, il, "exp")
    routed = moe(net, cur, il, gating=gating, norm=norm, scaled=scale not in (0.0, 1.0), bias=bias, act=act)
    return ops.add(routed, net.ffn(cur, il, "_shexp"))
