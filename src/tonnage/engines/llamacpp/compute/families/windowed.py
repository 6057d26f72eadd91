"""Decoders with windows, norms on both sides, gates or sinks: one row says how each differs.

Source: src/models/{gemma2,gemma3,olmo2,exaone4,exaone-moe,muse-glimmer,step35,laguna,afmoe,mimo2,mellum,openai-moe}.cpp, build 11434.
"""

from typing import NamedTuple

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import Inputs, attn, attn_inputs
from tonnage.engines.llamacpp.compute.blocks import clamped, gating_of, head, qk_normed, rotated, routed, softcapped, wanted
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.net import Net

SOFTMAX, SIGMOID, SOFTMAX_WEIGHT = 1, 2, 3
NO_ROPE_STEP = 4
"""every so-manieth layer of AFMoE is not rotated (n_no_rope_layer_step of src/llama-hparams.h)"""


class Style(NamedTuple):
    """How an architecture differs from the common decoder."""

    embedding: str = ""
    """what happens to embeddings: scaled, tokens_scaled (those of images are not) or normed"""
    ffn_norm: str = "ffn_norm"
    """the norm before the feed-forward part; OLMo 2 and EXAONE 4 have none"""
    post_norms: str = ""
    """norms after attention and feed-forward part, and whether they are kept on the layer's device: both, attention or none"""
    crop: str = "attention"
    """where tokens without wanted logits are dropped: behind the attention, behind its norm or at the end"""
    flat_norm: bool = False
    """queries and keys are normalised over all heads at once"""
    rotate: str = "all"
    """layers that are rotated: all, windowed (all where none is) or stepwise"""
    factors: str = ""
    """layers whose rotation takes the file's factors: all or full"""
    q_scaled: bool = False
    """queries are scaled before attention"""
    gate: str = ""
    """the function of the gate on the attention's result"""
    act: str = "swiglu"
    gating: int = 0
    """how experts are scored; 0: as the metadata say, else by sigmoid"""
    norm: bool | None = None
    """whether experts' weights are normalised; None: as the metadata say"""


STYLES = {
    "gemma2": Style(embedding="scaled", post_norms="attention", q_scaled=True, act="geglu"),
    "gemma3": Style(embedding="tokens_scaled", post_norms="attention", q_scaled=True, act="geglu"),
    "olmo2": Style(ffn_norm="", post_norms="attention", flat_norm=True),
    "exaone4": Style(ffn_norm="", post_norms="attention", rotate="windowed", factors="all"),
    "exaone-moe": Style(rotate="windowed", factors="all"),
    "muse-glimmer": Style(embedding="normed", post_norms="none", crop="norm", rotate="windowed", gate="sigmoid"),
    "step35": Style(crop="end", factors="full", gate="sigmoid"),
    "laguna": Style(gate="softplus"),
    "afmoe": Style(embedding="scaled", post_norms="both", crop="norm", rotate="stepwise", gate="sigmoid"),
    "mimo2": Style(gating=SIGMOID, norm=True),
    "mellum": Style(gating=SOFTMAX, norm=True),
    "gpt-oss": Style(ffn_norm="post_attention_norm", crop="end", act="swiglu_oai", gating=SOFTMAX_WEIGHT, norm=False),
}


def build(net: Net) -> Graph:
    """The whole decoder."""
    style = STYLES[net.arch]
    cur = _embedding(net, style)
    pos, inputs, out_ids = net.inp_pos(), attn_inputs(net), net.inp_out_ids()
    for il in net.blocks:
        cur = _layer(net, style, il, cur, pos, inputs, out_ids)
    if style.crop == "end":
        cur.flags |= OUTPUT
        cur = ops.get_rows(cur, out_ids)
    cur = head(net, cur)
    if net.arch == "muse-glimmer":
        cur = ops.scale(cur)
    return net.graph(softcapped(cur) if net.arch == "gemma2" or net.hp.get("final_logit_softcapping") else cur)


def _embedding(net: Net, style: Style) -> Node:
    cur = net.inp_embd(scaled=style.embedding == "tokens_scaled")
    if style.embedding == "scaled":
        return ops.scale(cur)
    return ops.rms_norm(cur) if style.embedding == "normed" else cur


def _layer(net: Net, style: Style, il: int, cur: Node, pos: Node, inputs: Inputs, out_ids: Node) -> Node:
    residual = cur
    if style.ffn_norm:
        cur = net.norm(cur, net.need(il, "attn_norm"), il)
    cur = _attention(net, style, il, cur, pos, inputs)
    if style.crop == "attention":
        cur, residual = wanted(net, il, out_ids, cur, residual)
    if style.post_norms:
        cur = net.norm(cur, net.need(il, "post_attention_norm"), -1 if style.post_norms == "none" else il)
    if style.crop == "norm":
        cur, residual = wanted(net, il, out_ids, cur, residual)
    ffn_inp = ops.add(cur, residual)
    cur = net.norm(ffn_inp, net.need(il, style.ffn_norm), il) if style.ffn_norm else ffn_inp
    cur = _feed_forward(net, style, il, cur)
    if style.post_norms:
        cur = net.norm(cur, net.need(il, "post_ffw_norm"), il if style.post_norms == "both" else -1)
    return ops.add(cur, ffn_inp)


# --- attention --------------------------------------------------------------------------------------


def _attention(net: Net, style: Style, il: int, cur: Node, pos: Node, inputs: Inputs) -> Node:
    q, k, v = _flat_qkv(net, il, cur) if style.flat_norm else _qkv(net, il, cur)
    if _rotates(net, style, il):
        q, k = rotated(q, k, pos, _factors(net, style, il))
    if style.q_scaled:
        q = ops.scale(q)
    gate = net.w(il, "attn_gate") if style.gate else None
    out = attn(net, inputs.of(net, il), il, q, k, v, sinks=net.w(il, "attn_sinks"), wo=not style.gate)
    if style.gate:
        out = net.mm(net.need(il, "attn_output"), out if gate is None else _gated(net, il, out, net.mm(gate, cur), style.gate))
    return ops.scale(out) if net.hp.get("attention.value_scale", 1.0) not in (0.0, 1.0) else out


def _qkv(net: Net, il: int, cur: Node) -> tuple[Node, Node, Node]:
    q, k, v = net.qkv(cur, il, net.hp.k_dim, net.hp.v_dim)
    return *qk_normed(net, il, q, k), v


def _flat_qkv(net: Net, il: int, cur: Node) -> tuple[Node, Node, Node]:
    """Heads are cut out behind the norm."""
    q, k, v = (net.mm(net.need(il, f"attn_{x}"), cur) for x in "qkv")
    q, k = qk_normed(net, il, q, k)
    dim, n, heads, kv_heads = net.hp.k_dim, net.n_tokens, net.n_head(il), net.n_head_kv(il)
    return ops.reshape(q, dim, heads, n), ops.reshape(k, dim, kv_heads, n), ops.reshape(v, dim, kv_heads, n)


def _rotates(net: Net, style: Style, il: int) -> bool:
    if style.rotate == "windowed":
        return net.is_swa[il] or not any(net.is_swa)
    return style.rotate == "all" or (il + 1) % NO_ROPE_STEP != 0


def _factors(net: Net, style: Style, il: int) -> Node | None:
    if not style.factors or (style.factors == "full" and net.is_swa[il]):
        return None
    return net.rotation(il)


def _gated(net: Net, il: int, cur: Node, gate: Node, kind: str) -> Node:
    """The attention's result times a gate, one for each element or one for each head."""
    gate = ops.unary(gate, kind)
    heads, n = net.n_head(il), net.n_tokens
    if gate.ne[0] != heads:
        return ops.mul(cur, gate)
    width = cur.ne[0]
    cur = ops.mul(ops.reshape(cur, width // heads, heads, n), ops.reshape(gate, 1, heads, n))
    return ops.reshape(cur, width, n)


# --- feed-forward -----------------------------------------------------------------------------------


def _feed_forward(net: Net, style: Style, il: int, cur: Node) -> Node:
    if net.w(il, "ffn_gate_inp") is None:
        return _dense(net, il, cur, "", style.act)
    experts = routed(net, il, cur, style.gating or gating_of(net), norm=style.norm, act=style.act)
    if net.w(il, "ffn_up_shexp") is None:
        return experts
    return ops.add(experts, _dense(net, il, cur, "_shexp", style.act))


def _dense(net: Net, il: int, cur: Node, suffix: str, act: str) -> Node:
    """A gated feed-forward part; Step 3.5 bounds gate and up of some blocks."""
    if not clamped(net, "swiglu_clamp_shexp", il):
        return net.ffn(cur, il, suffix, act)
    up = ops.clamp(net.mm(net.need(il, f"ffn_up{suffix}"), cur))
    gate = ops.clamp(ops.unary(net.mm(net.need(il, f"ffn_gate{suffix}"), cur), "silu"))
    return net.mm(net.need(il, f"ffn_down{suffix}"), ops.mul(gate, up))
