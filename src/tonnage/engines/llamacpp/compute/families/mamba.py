"""Decoders built on Mamba, alone or with attention between or beside it.

Source: src/models/{mamba,mamba2,jamba,granite-hybrid,falcon-h1}.cpp, build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import CacheInput, attn, attn_inputs
from tonnage.engines.llamacpp.compute.experts import moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import States, is_recurrent, mamba, mamba2, state_inputs


def build(net: Net) -> Graph:
    """The graph of any of the four."""
    return _BUILDERS[net.arch](net)


def _mamba(net: Net) -> Graph:
    """Nothing but mixers."""
    mix = mamba2 if net.arch == "mamba2" else mamba
    cur = net.inp_embd()
    states, out_ids = state_inputs(net), net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        cur = mix(net, states, net.norm(cur, net.need(il, "attn_norm"), il), il)
        cur, residual = _wanted(net, il, cur, residual, out_ids)
        cur = ops.add(cur, residual)
    return net.graph(net.output(cur))


def _jamba(net: Net) -> Graph:
    """Mamba with attention now and then, and experts in some blocks; no rotation."""
    cur = net.inp_embd()
    states, inputs, out_ids = state_inputs(net), attn_inputs(net).full, net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
        cur = mamba(net, states, cur, il) if is_recurrent(net, il) else attn(net, inputs, il, *net.qkv(cur, il, net.hp.k_dim))
        cur, residual = _wanted(net, il, cur, residual, out_ids)
        ffn_inp = ops.add(residual, cur)
        cur = net.norm(ffn_inp, net.need(il, "ffn_norm"), il)
        dense = net.w(il, "ffn_gate_inp") is None
        cur = ops.add(ffn_inp, net.ffn(cur, il) if dense else moe(net, cur, il, norm=False, scaled=_scaled(net)))
    return net.graph(net.output(cur))


def _scaled(net: Net) -> bool:
    return float(net.hp.get("expert_weights_scale") or 0.0) not in (0.0, 1.0)


def _wanted(net: Net, il: int, cur: Node, residual: Node, out_ids: Node) -> tuple[Node, Node]:
    """Behind the last mixer only tokens whose logits are wanted go on."""
    if il != net.n_layer - 1:
        return cur, residual
    return ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)


# --- Granite 4 hybrid --------------------------------------------------------------------------------


def _granite(net: Net) -> Graph:
    """Mamba-2 with attention now and then; embedding, residuals and logits may be scaled."""
    cur = net.inp_embd()
    if net.hp.get("embedding_scale"):
        cur = net.expand(ops.scale(cur))
    states, inputs, out_ids = state_inputs(net), attn_inputs(net).full, net.inp_out_ids()
    pos = net.inp_pos() if net.hp.get("rope.scaling.finetuned", True) else None
    for il in net.blocks:
        residual = cur
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
        cur = mamba2(net, states, cur, il) if is_recurrent(net, il) else _rotated_attn(net, inputs, il, cur, pos)
        cur, residual = _wanted(net, il, cur, residual, out_ids)
        ffn_inp = ops.add(_residual_scaled(net, cur), residual)
        cur = _granite_ffn(net, il, net.norm(ffn_inp, net.need(il, "ffn_norm"), il))
        cur = ops.add(_residual_scaled(net, cur), ffn_inp)
    logits = net.output(cur)
    return net.graph(ops.scale(logits) if net.hp.get("logit_scale") else logits)


def _residual_scaled(net: Net, cur: Node) -> Node:
    return ops.scale(cur) if net.hp.get("residual_scale") else cur


def _rotated_attn(net: Net, inputs: CacheInput, il: int, cur: Node, pos: Node | None) -> Node:
    q, k, v = net.qkv(cur, il, net.hp.k_dim)
    if pos is not None:
        factors = net.rotation(il)
        q, k = ops.rope(q, pos, factors), ops.rope(k, pos, factors)
    return attn(net, inputs, il, q, k, v)


def _granite_ffn(net: Net, il: int, cur: Node) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    routed = moe(net, cur, il, scaled=_scaled(net))
    return ops.add(routed, net.ffn(cur, il, "_shexp")) if net.hp.get("expert_shared_feed_forward_length") else routed


# --- Falcon-H1 ---------------------------------------------------------------------------------------


def _falcon_h1(net: Net) -> Graph:
    """Attention and Mamba-2 side by side, each behind a norm of its own with the same weight."""
    cur = net.inp_embd()
    pos, states, inputs, out_ids = net.inp_pos(), state_inputs(net), attn_inputs(net).full, net.inp_out_ids()
    for il in net.blocks:
        both = ops.add(*_side_by_side(net, states, inputs, il, cur, pos))
        ffn_inp = ops.add(both, cur)
        if il == net.n_layer - 1:
            ffn_inp = ops.get_rows(ffn_inp, out_ids)
        # the converter leaves this norm's name without `.weight`
        norm = net.w(il, "ffn_norm") or net.weight(f"blk.{il}.ffn_norm")
        cur = ops.add(net.ffn(net.norm(ffn_inp, norm, il), il), ffn_inp)
    return net.graph(net.output(cur))


def _side_by_side(net: Net, states: States, inputs: CacheInput, il: int, cur: Node, pos: Node) -> tuple[Node, Node]:
    q, k, v = net.qkv(net.norm(cur, net.need(il, "attn_norm"), il), il, net.hp.k_dim)
    attended = attn(net, inputs, il, ops.rope(q, pos), ops.rope(k, pos), v)
    return attended, mamba2(net, states, net.norm(cur, net.need(il, "attn_norm"), il), il)


_BUILDERS = {"mamba": _mamba, "mamba2": _mamba, "jamba": _jamba, "granitehybrid": _granite, "falcon-h1": _falcon_h1}
