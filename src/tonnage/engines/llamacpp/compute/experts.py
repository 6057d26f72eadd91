"""Experts: choosing them, running them, summing them (build_moe_ffn in src/llama-graph.cpp, build 11434)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import PRECISE, PRECISE_DOWN, Node
from tonnage.engines.llamacpp.compute.net import Net

GATING = {1: "softmax", 2: "sigmoid", 3: "softmax_weight", 4: "sqrt_softplus"}
"""expert_gating_func of the metadata"""

SCALED_STACKS = frozenset(
    {
        "cohere2moe", "deepseek32", "gemma4", "glm-dsa", "hy_v3", "llama", "mellum", "mistral3", "nemotron_h", "nemotron_h_moe",
        "qwen35moe", "qwen3moe", "qwen3next", "qwen4exp",
    }
)
"""architectures that multiply what comes out of a stack by a number for each expert, where the file has them (ffn_*_exps_s)"""


def moe(
    net: Net,
    cur: Node,
    il: int,
    *,
    gating: str = "softmax",
    norm: bool = True,
    scaled: bool = False,
    act: str = "swiglu",
    bias: Node | None = None,
    logits: Node | None = None,
    weight_first: bool = False,
    selected: Node | None = None,
    n_expert: int | None = None,
    n_used: int | None = None,
    clamped: bool = False,
) -> Node:
    """Routed experts of a block.

    `gating` is softmax, sigmoid, softmax_weight or sqrt_softplus; `scaled` multiplies the weights by a
    number; `bias` is the selection bias; `logits` replace the router's; `clamped` bounds gate and up.
    """
    n_expert = n_expert or int(net.hp["expert_count"])
    n_used = n_used or int(net.hp["expert_used_count"])
    if logits is None:
        logits = net.mm(net.need(il, "ffn_gate_inp"), cur, net.b(il, "ffn_gate_inp"))
    probs = _gate(logits, gating)
    scores = logits if weight_first else probs
    if bias is not None:
        scores = ops.add(probs, bias)
    ids = selected if selected is not None else ops.argsort_top_k(_masked_by_group(net, scores, n_expert), n_used)
    weights = _weights(probs, ids, gating, norm, scaled, n_expert, n_used)
    net.expand(weights)
    d, n = cur.ne[0], cur.ne[1]
    cur = ops.reshape(cur, d, 1, n)
    if weight_first:
        cur = ops.mul(ops.repeat_4d(cur, d, n_used, n, 1), weights)
    cur = _expert_ffn(net, cur, ids, il, act, clamped)
    if not weight_first:
        cur = ops.mul(cur, weights)
    return _sum(net, net.expand(cur), n_used)


def _gate(logits: Node, gating: str) -> Node:
    if gating == "softmax":
        return ops.soft_max(logits)
    if gating == "sigmoid":
        return ops.unary(logits, "sigmoid")
    if gating == "sqrt_softplus":
        return ops.sqrt(ops.unary(logits, "softplus"))
    return logits


def _masked_by_group(net: Net, scores: Node, n_expert: int) -> Node:
    """Scores of the best groups of experts alone, where experts come in groups (DeepSeek V3)."""
    groups, used = int(net.hp.get("expert_group_count") or 0), int(net.hp.get("expert_group_used_count") or 0)
    if groups <= 1:
        return scores
    n, each = scores.ne[1], n_expert // groups
    grouped = ops.reshape(scores, each, groups, n)
    best = ops.argsort_top_k(grouped, 2)
    found = ops.get_rows(ops.reshape(grouped, 1, *grouped.ne[:3]), best)
    sums = ops.sum_rows(ops.reshape(found, *found.ne[1:]))
    chosen = ops.argsort_top_k(ops.reshape(sums, *sums.ne[1:3]), used)
    kept = ops.get_rows(grouped, chosen)
    return ops.reshape(ops.set_rows(ops.fill(grouped), kept, chosen), n_expert, n)


def _weights(probs: Node, ids: Node, gating: str, norm: bool, scaled: bool, n_expert: int, n_used: int) -> Node:
    """The weight of every chosen expert."""
    n = probs.ne[1]
    weights = ops.get_rows(ops.reshape(probs, 1, n_expert, n), ids)
    if gating == "softmax_weight":
        weights = ops.reshape(ops.soft_max(ops.reshape(weights, n_used, n)), 1, n_used, n)
    if norm:
        weights = ops.reshape(weights, n_used, n)
        total = ops.clamp(ops.sum_rows(weights))
        weights = ops.reshape(ops.div(weights, total), 1, n_used, n)
    return ops.scale(weights) if scaled else weights


def _expert_ffn(net: Net, cur: Node, ids: Node, il: int, act: str, clamped: bool) -> Node:
    """Up, gate, activation and down of the chosen experts."""
    joined = net.w(il, "ffn_gate_up_exps")
    if joined is not None:
        both = _mm_id(net, joined, cur, ids, il, "ffn_gate_up_exps")
        n_ff = both.ne[0] // 2
        gate = ops.view_3d(both, n_ff, both.ne[1], both.ne[2], both.nb[1], both.nb[2])
        up = ops.view_3d(both, n_ff, both.ne[1], both.ne[2], both.nb[1], both.nb[2], n_ff * both.nb[0])
        cur = ops.glu(gate, up, act)
    else:
        up = _mm_id(net, net.need(il, "ffn_up_exps"), cur, ids, il, "ffn_up_exps")
        gates = net.w(il, "ffn_gate_exps")
        if gates is None:
            cur = net.activate(up, act)
        else:
            gate = _mm_id(net, gates, cur, ids, il, "ffn_gate_exps")
            cur = _clamped_glu(gate, up) if clamped else net.situ(gate, up) if act == "situ" else ops.glu(gate, up, act)
    down = _mm_id(net, net.need(il, "ffn_down_exps"), cur, ids, il, "ffn_down_exps")
    if net.arch in PRECISE_DOWN:
        down.param = PRECISE
    return down


def _clamped_glu(gate: Node, up: Node) -> Node:
    up = ops.clamp(up)
    return ops.mul(ops.clamp(ops.unary(gate, "silu")), up)


def _mm_id(net: Net, weight: Node, cur: Node, ids: Node, il: int, name: str) -> Node:
    """Products with the chosen experts' matrices, times their scales, plus their biases (build_lora_mm_id)."""
    cur = ops.mul_mat_id(weight, cur, ids)
    # the scales of a joined stack go by the name of the upper one
    scales = net.s(il, "ffn_up_exps" if name == "ffn_gate_up_exps" else name) if net.arch in SCALED_STACKS else None
    if scales is not None:
        n_expert = scales.ne[0]
        repeated = ops.repeat_4d(ops.reshape(scales, 1, n_expert, 1), 1, n_expert, cur.ne[2], 1)
        cur = ops.mul(cur, ops.get_rows(repeated, ids))
    bias = net.b(il, name)
    return cur if bias is None else ops.add_id(cur, bias, ids)


def _sum(net: Net, experts: Node, n_used: int) -> Node:
    """The outputs of all chosen experts, one view after the other."""
    d, n = experts.ne[0], experts.ne[2]
    parts = [net.expand(ops.view_2d(experts, d, n, experts.nb[2], i * experts.nb[1])) for i in range(n_used)]
    total = parts[0]
    for part in parts[1:]:
        total = net.expand(ops.add(total, part))
    return ops.cont(total) if n_used == 1 else total
