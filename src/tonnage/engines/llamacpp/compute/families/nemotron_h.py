"""Nemotron-H and Nemotron 3: blocks of Mamba-2, attention or a feed-forward part (src/models/nemotron-h.cpp, build 11434)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import attn, attn_inputs
from tonnage.engines.llamacpp.compute.experts import moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import is_recurrent, mamba2, state_inputs, unwanted_dropped_late


def build(net: Net) -> Graph:
    """The whole decoder: one norm and one part per block, no rotation."""
    cur = net.inp_embd()
    states, inputs, out_ids = state_inputs(net), attn_inputs(net).full, net.inp_out_ids()
    widths = net.hp.per_layer("feed_forward_length", 0)
    for il in net.blocks:
        residual = cur
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
        if is_recurrent(net, il):
            cur = mamba2(net, states, cur, il)
        elif widths[il]:
            cur = _feed_forward(net, cur, il)
        else:
            cur = attn(net, inputs, il, *net.qkv(cur, il, net.hp.k_dim))
        cur = ops.add(cur, residual)
    return net.graph(unwanted_dropped_late(net, cur, out_ids))


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    """Dense, or routed experts, which may work in a latent, and a shared one."""
    router = net.w(il, "ffn_gate_inp")
    if router is None:
        return net.ffn(cur, il, act="relu_sqr")
    down, up = net.w(il, "ffn_latent_down"), net.w(il, "ffn_latent_up")
    latent = cur if down is None else net.mm(down, cur)
    routed = moe(
        net,
        latent,
        il,
        gating="sigmoid",
        norm=bool(net.hp.get("expert_weights_norm")),
        scaled=float(net.hp.get("expert_weights_scale") or 0.0) not in (0.0, 1.0),
        act="relu_sqr",
        bias=net.b(il, "exp_probs_b"),
        logits=net.mm(router, cur),
        n_used=int(net.hp.per_layer("expert_used_count")[il]),
    )
    routed = routed if up is None else net.mm(up, routed)
    return ops.add(routed, net.ffn(cur, il, "_shexp", act="relu_sqr"))
