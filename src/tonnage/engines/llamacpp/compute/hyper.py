"""Hyper-connections: several residual streams, mixed before each part and fed from its output.

Source: src/models/deepseek4.cpp (build_hc_pre, build_hc_post, build_hc_head), build 11434. Where a
fused operation would leave its layer's device it is given up (compute/streams.py).
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """Where a part sits between the streams: its input, the streams before it, and how its output is dealt to them."""

    cur: Node
    streams: Node
    post: Node
    comb: Node
    fused: bool

    def close(self, cur: Node) -> Node:
        """The streams after the part put out `cur`."""
        return (ops.hc_post if self.fused else _dealt)(cur, self.streams, self.post, self.comb)


def open_streams(net: Net, cur: Node) -> Node:
    """Every stream starts as the embedding."""
    return ops.repeat_4d(ops.reshape(cur, net.n_embd, 1, net.n_tokens), net.n_embd, stream_count(net), net.n_tokens, 1)


def stream_count(net: Net) -> int:
    """Residual streams side by side."""
    return int(net.hp["hyper_connection.count"])


def mixed(net: Net, streams: Node, il: int, name: str) -> Site:
    """One input of all streams, for attention (`hc_attn`) or the feed-forward part (`hc_ffn`)."""
    hc = streams.ne[1]
    scale, base = net.need(il, f"{name}_scale"), net.need(il, f"{name}_base")
    mixes = mixing_values(streams, net.need(il, f"{name}_fn"))
    pre = ops.scale(gate(columns(mixes, hc, 0), ops.view_1d(scale, 1), ops.view_1d(base, hc)))
    post = ops.scale(gate(columns(mixes, hc, hc), ops.view_1d(scale, 1, 4), ops.view_1d(base, hc, 4 * hc)))
    comb = ops.hc_comb(mixes, scale, base, hc) if net.fuses("DSV4_HC_COMB") else _combined(net, mixes, scale, base, hc)
    cur = ops.hc_pre(streams, pre) if net.fuses("DSV4_HC_PRE") else weighted_sum(streams, pre)
    return Site(cur, streams, post, comb, net.fuses("DSV4_HC_POST"))


def _combined(net: Net, mixes: Node, scale: Node, base: Node, hc: int) -> Node:
    """The matrix by which streams are mixed: rows and columns are brought to a sum of 1 in turn (build_hc_sinkhorn)."""
    cur = ops.mul(columns(mixes, hc * hc, 2 * hc), ops.view_1d(scale, 1, 4 * 2))
    cur = ops.add(cur, ops.view_1d(base, hc * hc, 4 * 2 * hc))
    comb = ops.soft_max(ops.reshape(cur, hc, hc, mixes.ne[1]))
    least = ops.filled("f32", 1)
    comb = _columns_summed(ops.add(comb, least), least)
    for _ in range(1, int(net.hp["hyper_connection.sinkhorn_iterations"])):
        comb = ops.div(comb, ops.add(ops.sum_rows(comb), least))
        comb = _columns_summed(comb, least)
    return comb


def _columns_summed(comb: Node, least: Node) -> Node:
    sums = ops.add(ops.sum_rows(ops.cont(ops.permute(comb, 1, 0, 2, 3))), least)
    return ops.div(comb, ops.permute(sums, 1, 0, 2, 3))


def _dealt(cur: Node, streams: Node, post: Node, comb: Node) -> Node:
    """A block's output dealt to all streams, one after the other, and to each a share of what all were before."""
    d, hc, n = streams.ne[:3]
    out: Node | None = None
    for to in range(hc):
        stream = ops.mul(cur, ops.view_2d(post, 1, n, post.nb[1], to * post.nb[0]))
        for i in range(hc):
            before = ops.view_2d(streams, d, n, streams.nb[2], i * streams.nb[1])
            stream = ops.add(stream, ops.mul(before, ops.view_2d(comb, 1, n, comb.nb[2], to * comb.nb[0] + i * comb.nb[1])))
        stream = ops.reshape(stream, d, 1, n)
        out = stream if out is None else ops.concat(out, stream, 1)
    assert out is not None
    return out


def joined(net: Net, streams: Node) -> Node:
    """What the final norm gets: the streams' sum, weighted by a gate."""
    return weighted_sum(streams, joining_weights(net, streams))


def joining_weights(net: Net, streams: Node) -> Node:
    """How much of each stream goes to the final norm."""
    scale, base = (net.weight(f"output_hc_{part}.weight") for part in ("scale", "base"))
    fn = net.weight("output_hc_fn.weight")
    if fn is None or scale is None or base is None:
        raise KeyError("output_hc_fn.weight, output_hc_scale.weight, output_hc_base.weight")
    return ops.scale(gate(mixing_values(streams, fn), scale, base))


def weighted_sum(streams: Node, weights: Node) -> Node:
    """Stream after stream times its weight, added up."""
    d, hc, n = streams.ne[:3]
    total: Node | None = None
    for i in range(hc):
        stream = ops.view_2d(streams, d, n, streams.nb[2], i * streams.nb[1])
        part = ops.mul(stream, ops.view_2d(weights, 1, n, weights.nb[1], i * weights.nb[0]))
        total = part if total is None else ops.add(total, part)
    assert total is not None
    return total


def mean(streams: Node) -> Node:
    """The mean of all streams (build_hc_mean)."""
    d, hc, n = streams.ne[:3]
    total = ops.view_2d(streams, d, n, streams.nb[2])
    for i in range(1, hc):
        total = ops.add(total, ops.view_2d(streams, d, n, streams.nb[2], i * streams.nb[1]))
    return ops.scale(total)


def wanted(streams: Node, out_ids: Node) -> Node:
    """The streams of those tokens alone whose logits are wanted."""
    d, hc, n = streams.ne[:3]
    return ops.reshape(ops.get_rows(ops.reshape(streams, d * hc, n), out_ids), d, hc, out_ids.ne[0])


def columns(mixes: Node, count: int, start: int) -> Node:
    """Some of every token's mixing values."""
    return ops.view_2d(mixes, count, mixes.ne[1], mixes.nb[1], 4 * start)


def mixing_values(streams: Node, fn: Node) -> Node:
    """A few values per token, computed from all its streams."""
    flat = ops.reshape(streams, streams.ne[0] * streams.ne[1], streams.ne[2])
    return ops.mul_mat(fn, ops.rms_norm(flat))


def gate(values: Node, scale: Node, base: Node) -> Node:
    """Values stretched, shifted and squeezed between 0 and 1."""
    return ops.unary(ops.add(ops.mul(values, scale), base), "sigmoid")
