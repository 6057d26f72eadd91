"""LFM2, dense and MoE: short convolutions with attention now and then (src/models/lfm2.cpp, build 11434)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import CacheInput, attn, attn_inputs
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import States, by_sequence, conv_cache, head, is_recurrent, read_states, state_inputs, write_conv


def build(net: Net) -> Graph:
    """The whole decoder."""
    cur = net.inp_embd()
    states, inputs, pos, out_ids = state_inputs(net), attn_inputs(net), net.inp_pos(), net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
        cur = _short_conv(net, states, cur, il) if is_recurrent(net, il) else _attention(net, inputs.of(net, il), cur, pos, il)
        if il == net.n_layer - 1:
            cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
        cur = ops.add(residual, cur)
        cur = ops.add(cur, _feed_forward(net, net.norm(cur, net.need(il, "ffn_norm"), il), il))
    # the final norm has the embedding's name here; older files call it by its own
    cur = net.norm(cur, net.weight("token_embd_norm.weight") or net.weight("output_norm.weight"))
    cur.flags |= OUTPUT
    return net.graph(head(net, cur))


def _short_conv(net: Net, states: States, cur: Node, il: int) -> Node:
    """b * x through a short convolution, times c."""
    d, kept = net.n_embd, int(net.hp["shortconv.l_cache"]) - 1
    bcx = net.mm(net.need(il, "shortconv.in_proj"), by_sequence(net, cur))
    b, c, x = (ops.view_3d(bcx, d, bcx.ne[1], bcx.ne[2], bcx.nb[1], bcx.nb[2], i * d * 4) for i in range(3))
    cache = conv_cache(net, il)
    bx = ops.transpose(ops.mul(b, x))
    before = ops.reshape(read_states(net, states, cache), kept, d, net.n_seqs)
    if net.hp.get("attention.causal", True):
        bx = ops.concat(before, bx, 0)
    else:
        half = (kept + 1 - 1) // 2
        left = ops.cont(ops.view_3d(before, half, d, net.n_seqs, before.nb[1], before.nb[2], (kept - half) * 4))
        bx = ops.pad(ops.concat(left, bx, 0), half)
    write_conv(net, cache, bx, kept)
    y = net.mm(net.need(il, "shortconv.out_proj"), ops.mul(c, ops.ssm_conv(bx, net.need(il, "shortconv.conv"))))
    return ops.reshape(y, y.ne[0], net.n_tokens)


def _attention(net: Net, inputs: CacheInput, cur: Node, pos: Node, il: int) -> Node:
    q, k, v = net.qkv(cur, il, net.hp.k_dim)
    q, k = net.norm(q, net.need(il, "attn_q_norm"), il), net.norm(k, net.need(il, "attn_k_norm"), il)
    return attn(net, inputs, il, ops.rope(q, pos), ops.rope(k, pos), v)


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    scale = float(net.hp.get("expert_weights_scale") or 0.0)
    gating = GATING[int(net.hp.get("expert_gating_func") or 2)]
    return moe(net, cur, il, gating=gating, scaled=scale not in (0.0, 1.0), bias=net.b(il, "exp_probs_b"))
