"""Decoders in Llama's order: norm, attention, norm, feed-forward. One row says how each differs.

Source: src/models/{llama,mistral3,qwen2,qwen2vl,qwen3,qwen3moe,qwen3vl,qwen3vlmoe,granite,smollm3,seed-oss,arcee,
apertus,ernie4-5,ernie4-5-moe,hunyuan-dense,hunyuan-vl,hunyuan-moe,hy-v3,glm4,glm4-moe,minimax-m2,deci}.cpp, build 11434.
"""

from typing import NamedTuple

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import Inputs, attn, attn_inputs
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.net import Net


class Style(NamedTuple):
    """How an architecture differs from Llama."""

    ffn_norm: str = "ffn_norm"
    """the norm before the feed-forward part"""
    qk_norm: str = ""
    """where queries and keys are normalised: before or after the rotation, or flat: over all heads at once"""
    act: str = "swiglu"
    no_rope_step: int = 0
    """each so-manieth layer is not rotated"""
    gating: int = 1
    """how experts are scored where the metadata are silent: 1 softmax, 2 sigmoid"""
    from_metadata: bool = False
    """whether experts' weights are normalised and scaled as the metadata say; else they are normalised"""
    scales: bool = False
    """embedding, residuals and logits are scaled (Granite)"""
    temperature: bool = False
    """queries may be scaled by position (Mistral)"""
    post_norms: bool = False
    """attention and feed-forward are normalised again before they are added (GLM-4)"""
    all_outputs: bool = False
    """every token runs through the last layer (Hunyuan 3)"""


STYLES = {
    "llama": Style(),
    "mistral3": Style(temperature=True),
    "qwen2": Style(),
    "qwen2vl": Style(),
    "qwen3": Style(qk_norm="before"),
    "qwen3moe": Style(qk_norm="before"),
    "qwen3vl": Style(qk_norm="before"),
    "qwen3vlmoe": Style(qk_norm="before"),
    "granite": Style(scales=True),
    "granitemoe": Style(scales=True),
    "smollm3": Style(no_rope_step=4),
    "seed_oss": Style(ffn_norm="post_attention_norm"),
    "arcee": Style(act="relu_sqr"),
    "apertus": Style(qk_norm="before", act="xielu"),
    "ernie4_5": Style(),
    "ernie4_5-moe": Style(),
    "hunyuan-dense": Style(qk_norm="after"),
    "hunyuan-vl": Style(qk_norm="after"),
    "hunyuan-moe": Style(qk_norm="after"),
    "hy_v3": Style(qk_norm="before", gating=2, from_metadata=True, all_outputs=True),
    "glm4": Style(act="halves:swiglu", post_norms=True),
    "glm4moe": Style(ffn_norm="post_attention_norm", qk_norm="before", gating=2, from_metadata=True),
    "minimax-m2": Style(qk_norm="flat", gating=2),
    "deci": Style(),
}


def build(net: Net) -> Graph:
    """The whole decoder."""
    style = STYLES[net.arch]
    deepstack = int(net.hp.get("n_deepstack_layers") or 0)
    wide, cur = _embedding(net, style, deepstack)
    pos = net.inp_pos()
    temperature = net.input("inp_attn_scale", "f32", 1, 1, net.n_tokens) if style.temperature and net.hp.get("attention.temperature_scale") else None
    inputs, out_ids = attn_inputs(net), net.inp_out_ids()
    for il in net.blocks:
        cur = _layer(net, style, il, cur, pos, temperature, inputs, out_ids)
        if il < deepstack:
            row = 4 * net.n_embd
            cur = ops.add(cur, ops.view_2d(wide, net.n_embd, net.n_tokens, wide.nb[1], (il + 1) * row))
    return net.graph(_head(net, style, cur, out_ids))


def _embedding(net: Net, style: Style, deepstack: int) -> tuple[Node, Node]:
    """What is looked up, with vision features behind it where layers read them, and what the first layer gets."""
    cur = net.inp_embd(width=net.n_embd * (1 + deepstack)) if deepstack else net.inp_embd()
    return cur, net.expand(ops.scale(cur)) if style.scales else cur


def _layer(net: Net, style: Style, il: int, cur: Node, pos: Node, temperature: Node | None, inputs: Inputs, out_ids: Node) -> Node:
    residual = cur
    has_attention = net.n_head(il) > 0
    if has_attention:
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
        cur = _attention(net, style, il, cur, pos, temperature, inputs)
    if il == net.n_layer - 1 and not style.all_outputs:
        cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
    if net.w(il, "ffn_down") is None and net.w(il, "ffn_down_exps") is None:
        return cur
    if style.post_norms:
        cur = net.norm(cur, net.need(il, "post_attention_norm"), il)
    if style.scales:
        cur = ops.scale(cur)
    ffn_inp = ops.add(cur, residual) if has_attention else cur
    cur = _feed_forward(net, style, il, net.norm(ffn_inp, net.need(il, style.ffn_norm), il))
    if style.post_norms:
        cur = net.norm(cur, net.need(il, "post_ffw_norm"), il)
    if style.scales:
        cur = ops.scale(cur)
    return ops.add(cur, ffn_inp)


def _attention(net: Net, style: Style, il: int, cur: Node, pos: Node, temperature: Node | None, inputs: Inputs) -> Node:
    if not net.n_head_kv(il):
        return net.mm(net.need(il, "attn_output"), cur)
    q, k, v = _qkv(net, style, il, cur)
    if style.qk_norm == "before":
        q, k = _normed(net, il, q, k)
    if not style.no_rope_step or (il + 1) % style.no_rope_step:
        factors = net.rotation(il)
        q, k = ops.rope(q, pos, factors), ops.rope(k, pos, factors)
    if style.qk_norm == "after":
        q, k = _normed(net, il, q, k)
    if temperature is not None:
        q = ops.mul(q, temperature)
    return attn(net, inputs.of(net, il), il, q, k, v)


def _qkv(net: Net, style: Style, il: int, cur: Node) -> tuple[Node, Node, Node]:
    if style.qk_norm != "flat":
        return net.qkv(cur, il, net.hp.k_dim)
    q, k, v = (net.mm(net.need(il, f"attn_{x}"), cur) for x in "qkv")
    q, k = _normed(net, il, q, k)
    heads = (net.n_head(il), net.n_head_kv(il), net.n_head_kv(il))
    q, k, v = (ops.reshape(t, net.hp.k_dim, n, net.n_tokens) for t, n in zip((q, k, v), heads, strict=True))
    return q, k, v


def _normed(net: Net, il: int, q: Node, k: Node) -> tuple[Node, Node]:
    q_norm, k_norm = net.w(il, "attn_q_norm"), net.w(il, "attn_k_norm")
    return (q if q_norm is None else net.norm(q, q_norm, il)), (k if k_norm is None else net.norm(k, k_norm, il))


def _feed_forward(net: Net, style: Style, il: int, cur: Node) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il, act=style.act)
    routed = _experts(net, style, il, cur)
    if net.w(il, "ffn_up_shexp") is None:
        return routed
    return ops.add(routed, net.ffn(cur, il, "_shexp"))


def _experts(net: Net, style: Style, il: int, cur: Node) -> Node:
    gating = GATING[int(net.hp.get("expert_gating_func") or style.gating)]
    norm = bool(net.hp.get("expert_weights_norm")) if style.from_metadata else True
    scale = float(net.hp.get("expert_weights_scale") or 0.0) if style.from_metadata else 0.0
    return moe(net, cur, il, gating=gating, norm=norm, scaled=scale not in (0.0, 1.0), bias=_selection_bias(net, il))


def _selection_bias(net: Net, il: int) -> Node | None:
    """What is added to the scores by which experts are chosen; Hunyuan 3 has it without the suffix (src/models/hy-v3.cpp)."""
    return net.b(il, "exp_probs_b") or net.weight(f"blk.{il}.exp_probs_b")


def _head(net: Net, style: Style, cur: Node, out_ids: Node) -> Node:
    cur = net.norm(cur, net.weight("output_norm.weight"))
    if style.all_outputs:
        # the drafting block reads every token's state (t_h_nextn)
        cur.flags |= OUTPUT
        cur = ops.get_rows(cur, out_ids)
    cur.flags |= OUTPUT
    head = net.weight("output.weight")
    assert head is not None
    cur = net.mm(head, cur, net.weight("output.bias"))
    return ops.scale(cur) if style.scales else cur
