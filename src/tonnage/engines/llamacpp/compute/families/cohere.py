"""Command R and its successors: attention and feed-forward part side by side (src/models/{command-r,cohere2,cohere2moe}.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import Inputs, attn, attn_inputs
from tonnage.engines.llamacpp.compute.blocks import gating_of, head, logits, qk_normed, rotated, routed, wanted
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.net import Net


def build(net: Net) -> Graph:
    """The whole decoder. With experts, every token runs through the last layer and its norm."""
    experts = net.arch == "cohere2moe"
    rms = experts and bool(net.hp.get("attention.layer_norm_rms_epsilon"))
    cur, pos, inputs, out_ids = net.inp_embd(), net.inp_pos(), attn_inputs(net), net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        ffn_inp = net.norm(cur, net.need(il, "attn_norm"), il, rms=rms)
        cur = _attention(net, il, ffn_inp, pos, inputs)
        if not experts:
            cur, residual, ffn_inp = wanted(net, il, out_ids, cur, residual, ffn_inp)
        cur = ops.add(ops.add(_feed_forward(net, il, ffn_inp), residual), cur)
    return net.graph(ops.scale(_head_of_wanted(net, cur, out_ids, rms) if experts else head(net, cur, rms=rms)))


def _head_of_wanted(net: Net, cur: Node, out_ids: Node, rms: bool) -> Node:
    cur = net.norm(cur, net.weight("output_norm.weight"), rms=rms)
    cur.flags |= OUTPUT
    cur = ops.get_rows(cur, out_ids)
    cur.flags |= OUTPUT
    return logits(net, cur)


def _attention(net: Net, il: int, cur: Node, pos: Node, inputs: Inputs) -> Node:
    q, k, v = net.qkv(cur, il, net.hp.k_dim)
    q, k = qk_normed(net, il, q, k, rms=False)
    if net.arch == "command-r" or net.is_swa[il] or il < int(net.hp.get("leading_dense_block_count") or 0):
        q, k = rotated(q, k, pos, None if net.arch == "command-r" else net.rotation(il))
    return attn(net, inputs.of(net, il), il, q, k, v)


def _feed_forward(net: Net, il: int, cur: Node) -> Node:
    """Dense, or the mean of routed and shared experts."""
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    experts = routed(net, il, cur, gating_of(net))
    if net.w(il, "ffn_up_shexp") is None:
        return experts
    return ops.scale(ops.add(experts, net.ffn(cur, il, "_shexp")))
