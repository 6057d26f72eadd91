"""DeepSeek V4 (src/models/deepseek4.cpp)."""

from tonnage.engines.llamacpp.compute import hyper, ops
from tonnage.engines.llamacpp.compute.compressed import INDEXED, CompressedInput, compress, compressed_attn, compressed_input
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.model.types import Compressed


def build(net: Net) -> Graph:
    """Residual streams around compressed attention and experts; unwanted tokens leave at the very end."""
    cur = net.inp_embd()
    pos, out_ids, inputs = net.inp_pos(), net.inp_out_ids(), compressed_input(net)
    net.expand(inputs.mask)
    tokens = next(leaf for leaf in net.leafs if leaf.name == "inp_tokens")
    streams = hyper.open_streams(net, cur)
    for il in net.blocks:
        site = hyper.mixed(net, streams, il, "hc_attn")
        cur = _attention(net, inputs, il, net.norm(site.cur, net.need(il, "attn_norm"), il), pos)
        streams = site.close(cur)
        site = hyper.mixed(net, streams, il, "hc_ffn")
        for node in (site.streams, site.post, site.comb):
            net.expand(node)
        cur = _feed_forward(net, net.norm(site.cur, net.need(il, "ffn_norm"), il), il, tokens)
        streams = net.pin(site.close(cur), il)
    return net.graph(net.output(hyper.joined(net, hyper.wanted(streams, out_ids))))


def _attention(net: Net, inputs: CompressedInput, il: int, cur: Node, pos: Node) -> Node:
    dim, heads, n = net.hp.k_dim, net.n_head(il), net.n_tokens
    rank = net.norm(net.mm(net.need(il, "attn_q_a"), cur), net.need(il, "attn_q_a_norm"), il)
    q = ops.rope(ops.rms_norm(ops.reshape(net.mm(net.need(il, "attn_q_b"), rank), dim, heads, n)), pos)
    kv = net.norm(net.mm(net.need(il, "attn_kv"), cur), net.need(il, "attn_kv_a_norm"), il)
    kv = ops.rope(ops.reshape(kv, dim, 1, n), pos)
    ratio = next(m.ratio for m in net.model.layers[il].mixers if isinstance(m, Compressed))
    if ratio == INDEXED:
        compress(net, inputs.indexed, il, cur, "attn_compressor", "csa", dim)
        compress(net, inputs.index, il, cur, "indexer_compressor", "lid", int(net.hp["attention.indexer.key_length"]))
    elif ratio:
        compress(net, inputs.plain, il, cur, "attn_compressor", "hca", dim)
    return _output(net, il, compressed_attn(net, inputs, il, q, kv, rank, cur, pos), pos)


def _output(net: Net, il: int, out: Node, pos: Node) -> Node:
    """Rotated back, then projected group by group of heads."""
    dim, heads, n = net.hp.k_dim, net.n_head(il), net.n_tokens
    groups, rank = int(net.hp["attention.output_group_count"]), int(net.hp["attention.output_lora_rank"])
    out = ops.rope_back(ops.reshape(out, dim, heads, n), pos)
    out = ops.permute(ops.reshape(out, heads // groups * dim, groups, n), 0, 2, 1, 3)
    weight = ops.as_loaded(net.need(il, "attn_output_a"), heads // groups * dim, rank, groups)
    out = ops.cont(ops.permute(ops.mul_mat(weight, out), 0, 2, 1, 3), rank * groups, n)
    return net.mm(net.need(il, "attn_output_b"), out)


def _feed_forward(net: Net, cur: Node, il: int, tokens: Node) -> Node:
    """Experts chosen by token in the first blocks, by score behind them, and a shared one."""
    norm, scale = bool(net.hp.get("expert_weights_norm")), float(net.hp.get("expert_weights_scale") or 0.0)
    table = net.w(il, "ffn_gate_tid2eid")
    selected = None if table is None else ops.get_rows(table, tokens)
    routed = moe(
        net, cur, il,
        gating=GATING[int(net.hp.get("expert_gating_func") or 4)],
        norm=norm, scaled=scale not in (0.0, 1.0),
        bias=None if selected is not None else net.b(il, "exp_probs_b"),
        selected=selected, act=activation(net, il, "exp"),
    )  # fmt: skip
    return ops.add(routed, net.ffn(cur, il, "_shexp", act=activation(net, il, "shexp")))


def activation(net: Net, il: int, part: str) -> str:
    """Clamped where the metadata set a bound; that of the routed experts also holds for shared ones."""
    bounds = net.hp.per_layer("swiglu_clamp_exp", 0.0)
    if part != "exp" and "swiglu_clamp_shexp" in net.hp:
        bounds = net.hp.per_layer("swiglu_clamp_shexp", 0.0)
    return "swiglu_clamp" if float(bounds[il]) > 1e-6 else "swiglu"
