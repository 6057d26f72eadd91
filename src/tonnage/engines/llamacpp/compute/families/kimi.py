"""Kimi Linear and Kimi K3: Kimi delta attention with latent attention between (src/models/{kimi-linear,kimi-k3}.cpp, build 11434)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.delta import delta_net, recurrent_attn, unit_length
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.mla import LatentInput, latent_attn, latent_input
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import States, conv_cache, head, is_recurrent, read_states, snapshots, state_cache, state_inputs


def build(net: Net) -> Graph:
    """Either of the two."""
    return _k3(net) if net.arch == "kimi-k3" else _linear(net)


def _linear(net: Net) -> Graph:
    cur = net.inp_embd()
    states, inputs, out_ids = state_inputs(net), latent_input(net), net.inp_out_ids()
    for il in net.blocks:
        residual = cur
        cur = net.expand(net.norm(cur, net.need(il, "attn_norm"), il))
        cur = kda(net, states, cur, il) if is_recurrent(net, il) else _latent(net, inputs, cur, il)
        if il == net.n_layer - 1:
            cur, residual = ops.get_rows(cur, out_ids), ops.get_rows(residual, out_ids)
        ffn_inp = ops.add(cur, residual)
        cur = ops.add(_feed_forward(net, net.norm(ffn_inp, net.need(il, "ffn_norm"), il), il), ffn_inp)
    return net.graph(net.output(cur))


def _feed_forward(net: Net, cur: Node, il: int) -> Node:
    if il < int(net.hp.get("leading_dense_block_count") or 0):
        return net.ffn(cur, il)
    gating = GATING[int(net.hp.get("expert_gating_func") or 2)]
    routed = moe(net, cur, il, gating=gating, scaled=_scaled(net), bias=net.b(il, "exp_probs_b"))
    return ops.add(routed, net.ffn(cur, il, "_shexp"))


def _scaled(net: Net) -> bool:
    return float(net.hp.get("expert_weights_scale") or 0.0) not in (0.0, 1.0)


# --- Kimi delta attention --------------------------------------------------------------------------------


def kda(net: Net, states: States, cur: Node, il: int) -> Node:
    """Three short convolutions, a delta rule that decays every channel on its own, and a gated norm."""
    heads, d, n_seqs = net.n_head(il), int(net.hp["kda.head_dim"]), net.n_seqs
    n, cache = net.n_tokens // n_seqs, conv_cache(net, il)
    tails = read_states(net, states, cache)
    q, k, v = (_conv(net, cache, tails, cur, il, i, heads, d) for i in range(3))
    decay = ops.reshape(_decay(net, cur, il, heads, d), d, heads, n, n_seqs)
    beta = ops.unary(ops.reshape(net.mm(net.need(il, "ssm_beta"), cur), 1, heads, n, n_seqs), "sigmoid")
    grouped = ops.reshape(cur, cur.ne[0], n, n_seqs)
    s_cache = state_cache(net, il)
    state = ops.reshape(read_states(net, states, s_cache), d, d, heads, n_seqs)
    q, k = unit_length(q), unit_length(k)
    output = _linear_rule(net, s_cache, q, k, v, decay, beta, state, il) if net.arch == "kimi-linear" else ops.cont(
        recurrent_attn(net, s_cache, q, k, v, decay, beta, state))
    gate_input = cur if net.arch == "glm5-next" else ops.reshape(grouped, cur.ne[0], net.n_tokens)
    gate = ops.reshape(_output_gate(net, gate_input, il), d, heads, net.n_tokens)
    normed = net.norm(ops.reshape(output, d, heads, net.n_tokens), net.need(il, "ssm_norm"), il)
    gated = ops.cont(ops.mul(normed, ops.unary(gate, "sigmoid")), d * heads, net.n_tokens)
    return net.mm(net.need(il, "attn_output"), gated)


def _linear_rule(net: Net, cache: Node, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node, il: int) -> Node:
    """Kimi Linear stores the states of all sequences as one stretch, and after it has copied the output."""
    output, state = delta_net(net, q, k, v, g, b, s)
    net.expand(ops.cpy(state, ops.view_1d(cache, cache.ne[0] * net.n_seqs)))
    return ops.cont(output)


def _conv(net: Net, cache: Node, tails: Node, cur: Node, il: int, which: int, heads: int, d: int) -> Node:
    """Project, convolve and activate queries, keys or values; each owns a third of the stored inputs."""
    kernel, inner, n_seqs = int(net.hp["ssm.conv_kernel"]), heads * d, net.n_seqs
    kept, n, name = kernel - 1, net.n_tokens // n_seqs, "qkv"[which]
    part, row = which * kept * inner * 4, 3 * kept * inner * 4
    before = ops.view_3d(tails, kept, inner, n_seqs, kept * 4, row, part)
    x = ops.reshape(net.mm(net.need(il, f"attn_{name}"), cur), inner, n, n_seqs)
    conv = ops.concat(before, ops.transpose(x), 0)
    for slot in range(snapshots(net)):
        last = ops.view_3d(conv, kept, inner, n_seqs, conv.nb[1], conv.nb[2], max(0, n - slot) * 4)
        net.expand(ops.cpy(last, ops.view_3d(cache, kept, inner, n_seqs, kept * 4, row, slot * net.settings.slots * row + part)))
    kernels = ops.reshape(net.need(il, f"ssm_conv1d_{name}"), kernel, inner)
    cur = ops.unary(ops.reshape(ops.ssm_conv(conv, kernels), inner, net.n_tokens), "silu")
    return ops.reshape(cur, d, heads, n, n_seqs)


def _decay(net: Net, cur: Node, il: int, heads: int, d: int) -> Node:
    """How much every channel keeps: by softplus, or by a sigmoid down to a bound (K3)."""
    a, bias = net.weight(f"blk.{il}.ssm_a"), net.b(il, "ssm_dt")
    if a is None or bias is None:
        raise KeyError(f"blk.{il}.ssm_a, blk.{il}.ssm_dt.bias")
    g = ops.add(net.mm(net.need(il, "ssm_f_b"), net.mm(net.need(il, "ssm_f_a"), cur)), bias)
    a = ops.reshape(a, 1, heads, 1)
    if net.hp.get("kda.gate_lower_bound") is not None:
        g = ops.mul(ops.reshape(g, d, heads, net.n_tokens), a)
        return ops.scale(ops.unary(ops.scale(g), "sigmoid"))
    return ops.mul(ops.reshape(ops.unary(g, "softplus"), d, heads, net.n_tokens), a)


def _output_gate(net: Net, cur: Node, il: int) -> Node:
    full = net.w(il, "ssm_g")
    if full is not None:
        return net.mm(full, cur)
    return net.mm(net.need(il, "ssm_g_b"), net.mm(net.need(il, "ssm_g_a"), cur))


# --- latent attention without rotation -----------------------------------------------------------------


def _latent(net: Net, inputs: LatentInput, cur: Node, il: int) -> Node:
    n, heads, rank = net.n_tokens, net.n_head(il), int(net.hp["attention.kv_lora_rank"])
    head_dim, rest = int(net.hp["attention.key_length_mla"]), net.need(il, "attn_kv_a_mqa").ne[1] - rank
    nope, gate_input = head_dim - rest, cur
    q = _queries(net, cur, il)
    both = net.mm(net.need(il, "attn_kv_a_mqa"), cur)
    row = 4 * (rank + rest)
    latent = net.norm(ops.view_2d(both, rank, n, row), net.need(il, "attn_kv_a_norm"), il)
    k_pe = ops.view_3d(both, rest, 1, n, row, row, 4 * rank)
    q_nope = ops.permute(ops.view_3d(q, nope, heads, n, 4 * head_dim, 4 * head_dim * heads), 0, 2, 1, 3)
    q_pe = ops.view_3d(q, rest, heads, n, 4 * head_dim, 4 * head_dim * heads, 4 * nope)
    q = ops.concat(ops.permute(ops.mul_mat(net.need(il, "attn_k_b"), q_nope), 0, 2, 1, 3), q_pe, 0)
    v = ops.reshape(latent, rank, 1, n)
    cur = latent_attn(net, inputs, il, q, ops.concat(v, k_pe, 0), v, wo=False)
    gate = net.w(il, "attn_gate")
    if gate is not None:
        cur = ops.mul(cur, ops.unary(net.mm(gate, gate_input), "sigmoid"))
    return net.mm(net.need(il, "attn_output"), cur)


def _queries(net: Net, cur: Node, il: int) -> Node:
    if net.w(il, "attn_q_a") is None:
        return net.mm(net.need(il, "attn_q"), cur)
    low = net.norm(net.mm(net.need(il, "attn_q_a"), cur), net.need(il, "attn_q_a_norm"), il)
    return net.mm(net.need(il, "attn_q_b"), low)


# --- Kimi K3 -------------------------------------------------------------------------------------------


def _k3(net: Net) -> Graph:
    """Blocks that read a mix of what earlier blocks put out, banked each so many blocks."""
    cur = net.inp_embd()
    states, inputs, out_ids = state_inputs(net), latent_input(net), net.inp_out_ids()
    step = int(net.hp.get("attn_res.block_size") or 0)
    bank: Node | None = None
    for il in net.blocks:
        total = cur
        cur = _mixed(net, bank, total, f"blk.{il}.attn_res_score.weight")
        banked = step > 0 and il % step == 0
        if banked:
            entry = ops.reshape(total, net.n_embd, 1, net.n_tokens)
            bank = entry if bank is None else ops.concat(bank, entry, 1)
        cur = net.expand(net.norm(cur, net.need(il, "attn_norm"), il))
        cur = kda(net, states, cur, il) if is_recurrent(net, il) else _latent(net, inputs, cur, il)
        total = cur if banked else ops.add(total, cur)
        cur = net.norm(_mixed(net, bank, total, f"blk.{il}.ffn_res_score.weight"), net.need(il, "ffn_norm"), il)
        cur = ops.add(total, _k3_feed_forward(net, cur, il))
    cur = ops.get_rows(_mixed(net, bank, cur, "output_res_score.weight"), out_ids)
    cur = net.norm(cur, net.weight("output_norm.weight"))
    cur.flags |= OUTPUT
    return net.graph(head(net, cur))


def _mixed(net: Net, bank: Node | None, cur: Node, name: str) -> Node:
    """The banked outputs and the current sum, weighted by a softmax over their scores (res_mix)."""
    if bank is None:
        return cur
    weight = net.weight(name)
    if weight is None:
        raise KeyError(name)
    n, banked = net.n_tokens, bank.ne[1]
    scores = ops.reshape(ops.sum_rows(ops.mul(ops.rms_norm(bank), weight)), banked, n)
    probs = ops.soft_max(ops.concat(scores, ops.sum_rows(ops.mul(ops.rms_norm(cur), weight)), 0))
    earlier = ops.cont(ops.view_2d(probs, banked, n, probs.nb[1]))
    own = ops.cont(ops.view_2d(probs, 1, n, probs.nb[1], 4 * banked))
    return ops.add(ops.hc_pre(bank, earlier), ops.mul(cur, own))


def _k3_feed_forward(net: Net, cur: Node, il: int) -> Node:
    if il < int(net.hp.get("leading_dense_block_count") or 0):
        return _situ_ffn(net, cur, il, "")
    down, norm, up = (net.w(il, f"ffn_routed_{part}") for part in ("down", "norm", "up"))
    latent = cur if down is None else net.mm(down, cur)
    routed = moe(
        net,
        latent,
        il,
        gating=GATING[int(net.hp.get("expert_gating_func") or 2)],
        norm=bool(net.hp.get("expert_weights_norm")),
        scaled=_scaled(net),
        act="situ",
        bias=net.b(il, "exp_probs_b"),
        logits=net.mm(net.need(il, "ffn_gate_inp"), cur),
    )
    routed = routed if norm is None else net.norm(routed, norm, il)
    routed = routed if up is None else net.mm(up, routed)
    return routed if net.w(il, "ffn_gate_shexp") is None else ops.add(routed, _situ_ffn(net, cur, il, "_shexp"))


def _situ_ffn(net: Net, cur: Node, il: int, suffix: str) -> Node:
    gate, up = net.mm(net.need(il, f"ffn_gate{suffix}"), cur), net.mm(net.need(il, f"ffn_up{suffix}"), cur)
    return net.mm(net.need(il, f"ffn_down{suffix}"), net.situ(gate, up))
