"""DeepSeek V2, V3 and what is built like them: Kimi K2, Mistral Large 3 and Small 4 (src/models/deepseek2.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.mla import latent_attn, latent_input, latent_qkv
from tonnage.engines.llamacpp.compute.net import Net

SIGMOID, SOFTMAX = 2, 1


def build(net: Net) -> Graph:
    """Latent attention, then a dense part in the leading blocks and experts behind them."""
    layer_input = net.inp_embd()
    tempered = bool(net.hp.get("attention.temperature_scale"))
    temperature = net.input("inp_attn_scale", "f32", 1, 1, net.n_tokens) if tempered else None
    pos, inputs, out_ids = net.inp_pos(), latent_input(net), net.inp_out_ids()
    for il in net.blocks:
        residual = layer_input
        cur = net.norm(layer_input, net.need(il, "attn_norm"), il)
        q, k, v = latent_qkv(net, il, cur, pos)
        cur = latent_attn(net, inputs, il, q if temperature is None else ops.mul(q, temperature), k, v)
        if il == net.n_layer - 1:
            cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
        ffn_inp = ops.add(cur, residual)
        cur = net.norm(ffn_inp, net.need(il, "ffn_norm"), il)
        layer_input = ops.add(feed_forward(net, cur, il), ffn_inp)
    return net.graph(net.output(layer_input))


def feed_forward(net: Net, cur: Node, il: int) -> Node:
    """Dense, or routed experts and a shared one."""
    if net.w(il, "ffn_gate_inp") is None:
        return net.ffn(cur, il)
    norm, scale = bool(net.hp.get("expert_weights_norm")), float(net.hp.get("expert_weights_scale") or 0.0)
    routed = moe(net, cur, il, gating=gating(net), norm=norm, scaled=scale not in (0.0, 1.0), bias=net.b(il, "exp_probs_b"))
    return ops.add(routed, net.ffn(cur, il, "_shexp"))


def gating(net: Net) -> str:
    """How experts are scored; files without the key are told by their shape (deepseek2.cpp, load_arch_hparams)."""
    given = int(net.hp.get("expert_gating_func") or 0)
    glm_flash = net.n_layer in (47, 48) and net.model.n_vocab == 154880
    return GATING[given or (SIGMOID if glm_flash else SOFTMAX)]
