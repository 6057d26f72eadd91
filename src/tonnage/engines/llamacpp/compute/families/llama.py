"""Llama (src/models/llama.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import attn, attn_inputs
from tonnage.engines.llamacpp.compute.experts import moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net


def build(net: Net) -> Graph:
    """Norm, attention, norm, feed-forward; only wanted tokens leave the last block's attention."""
    layer_input = net.inp_embd()
    pos, inputs, out_ids = net.inp_pos(), attn_inputs(net), net.inp_out_ids()
    for il in range(net.n_layer):
        residual = layer_input
        cur = net.norm(layer_input, net.need(il, "attn_norm"), il)
        q, k, v = net.qkv(cur, il, net.hp.k_dim)
        factors = net.weight("rope_freqs.weight")
        cur = attn(net, inputs.of(net, il), il, ops.rope(q, pos, factors), ops.rope(k, pos, factors), v)
        if il == net.n_layer - 1:
            cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
        ffn_inp = ops.add(cur, residual)
        cur = net.norm(ffn_inp, net.need(il, "ffn_norm"), il)
        layer_input = ops.add(_feed_forward(net, cur, il), ffn_inp)
    return net.graph(net.output(layer_input))


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    return net.ffn(cur, il) if net.w(il, "ffn_gate_inp") is None else moe(net, cur, il)
