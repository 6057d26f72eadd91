"""Phi 3 and 4: one weight for queries, keys and values, one for gate and up (src/models/phi3.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import attn, attn_inputs
from tonnage.engines.llamacpp.compute.blocks import SOFTMAX, head, rotated, routed, wanted
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net


def build(net: Net) -> Graph:
    """The whole decoder."""
    cur, pos, inputs, out_ids = net.inp_embd(), net.inp_pos(), attn_inputs(net), net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        cur = net.norm(cur, net.need(il, "attn_norm"), il, bias=net.b(il, "attn_norm"))
        q, k, v = net.qkv(cur, il, net.hp.k_dim)
        q, k = rotated(q, k, pos, rope_factors(net, il))
        cur = attn(net, inputs.of(net, il), il, ops.scale(q), k, v)
        cur, residual = wanted(net, il, out_ids, cur, residual)
        residual = ops.add(cur, residual)
        cur = net.norm(residual, net.need(il, "ffn_norm"), il, bias=net.b(il, "ffn_norm"))
        cur = ops.add(residual, _feed_forward(net, il, cur))
    return net.graph(head(net, cur))


def rope_factors(net: Net, il: int) -> Node | None:
    """Factors of the rotation, those for long contexts where a sequence exceeds what was trained without them (get_rope_factors)."""
    trained = int(net.hp.get("rope.scaling.original_context_length") or net.hp.get("context_length") or 0)
    length = "long" if net.settings.cells > trained else "short"
    return net.rotation(il) or net.rotation(il, f"rope_factors_{length}")


def _feed_forward(net: Net, il: int, cur: Node) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il, act="halves:swiglu")
    return routed(net, il, cur, SOFTMAX, norm=True)
