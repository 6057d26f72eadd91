"""Llama 4: chunked windows, unrotated layers whose queries are tempered, experts that are weighted before they run (src/models/llama4.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import Inputs, attn, attn_inputs
from tonnage.engines.llamacpp.compute.blocks import head, rotated, wanted, with_shared
from tonnage.engines.llamacpp.compute.experts import moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net

NO_ROPE_STEP = 4
"""every so-manieth layer is not rotated (n_no_rope_layer_step of src/llama-hparams.h)"""
MAVERICK_EXPERTS = 128
"""with so many experts queries and keys are not normalised"""


def build(net: Net) -> Graph:
    """The whole decoder."""
    cur, pos = net.inp_embd(), net.inp_pos()
    temperature = net.input("inp_attn_scale", "f32", 1, 1, net.n_tokens)
    inputs, out_ids = attn_inputs(net), net.inp_out_ids()
    step = net.n_layer if inputs.swa is None else NO_ROPE_STEP
    for il in net.blocks:
        residual = cur
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
        cur = _attention(net, il, cur, pos if (il + 1) % step else None, temperature, inputs)
        cur, residual = wanted(net, il, out_ids, cur, residual)
        ffn_inp = ops.add(cur, residual)
        cur = _feed_forward(net, il, net.norm(ffn_inp, net.need(il, "ffn_norm"), il))
        cur = ops.add(cur, ffn_inp)
    return net.graph(head(net, cur))


def _attention(net: Net, il: int, cur: Node, pos: Node | None, temperature: Node, inputs: Inputs) -> Node:
    """Layers without `pos` are not rotated."""
    q, k, v = net.qkv(cur, il, net.hp.k_dim)
    if pos is None:
        q = ops.mul(q, temperature)
    else:
        q, k = rotated(q, k, pos, net.rotation(il))
        if net.hp.get("expert_count") != MAVERICK_EXPERTS:
            q, k = ops.rms_norm(q), ops.rms_norm(k)
    return attn(net, inputs.of(net, il), il, q, k, v)


def _feed_forward(net: Net, il: int, cur: Node) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    scale = float(net.hp.get("expert_weights_scale") or 0.0)
    experts = moe(net, cur, il, gating="sigmoid", norm=False, scaled=scale not in (0.0, 1.0), weight_first=True)
    return with_shared(net, il, cur, experts)
