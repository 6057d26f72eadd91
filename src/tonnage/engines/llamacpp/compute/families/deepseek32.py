"""DeepSeek V3.2 and GLM-5: latent attention to the tokens that an indexer chose (src/models/deepseek32.cpp, glm-dsa.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.dsa import SparseInput, attend, chosen, sparse_input
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.mla import absorbed_qkv
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.model.types import Latent


def build(net: Net) -> Graph:
    """DeepSeek V3's order; blocks without an indexer of their own reuse the last choice (GLM-5.2)."""
    layer_input = net.inp_embd()
    pos, inputs, out_ids = net.inp_pos(), sparse_input(net), net.inp_out_ids()
    top: Node | None = None
    for il in net.blocks:
        residual = layer_input
        cur, top = _attention(net, inputs, il, net.norm(layer_input, net.need(il, "attn_norm"), il), pos, top)
        if il == net.n_layer - 1:
            cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
        ffn_inp = ops.add(cur, residual)
        cur = net.norm(ffn_inp, net.need(il, "ffn_norm"), il)
        layer_input = ops.add(feed_forward(net, cur, il), ffn_inp)
    return net.graph(net.output(layer_input))


def _attention(net: Net, inputs: SparseInput, il: int, cur: Node, pos: Node, top: Node | None) -> tuple[Node, Node]:
    rank = net.norm(net.mm(net.need(il, "attn_q_a"), cur), net.need(il, "attn_q_a_norm"), il)
    if top is None or owns_indexer(net, il):
        top = chosen(net, inputs, il, cur, rank, pos)
    q, k, v = absorbed_qkv(net, il, cur, pos, net.mm(net.need(il, "attn_q_b"), rank))
    return net.mm(net.need(il, "attn_output"), attend(net, inputs, il, q, k, v, top)), top


def owns_indexer(net: Net, il: int) -> bool:
    """Whether a block chooses for itself."""
    return any(isinstance(m, Latent) and m.indexer is not None for m in net.model.layers[il].mixers)


def feed_forward(net: Net, cur: Node, il: int) -> Node:
    """Dense, or routed experts and a shared one."""
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    norm, scale = bool(net.hp.get("expert_weights_norm")), float(net.hp.get("expert_weights_scale") or 0.0)
    gating = GATING[int(net.hp.get("expert_gating_func") or 2)]
    routed = moe(net, cur, il, gating=gating, norm=norm, scaled=scale not in (0.0, 1.0), bias=net.b(il, "exp_probs_b"))
    return ops.add(routed, net.ffn(cur, il, "_shexp"))
