"""Embeddings of hashed n-grams that one block adds to its residual streams (PLE).

Source: build_inp_ple, build_ple, build_conv_state_at in src/models/qwen4exp.cpp, build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import States, by_sequence, read_states, snapshots
from tonnage.quant.types import TYPES


def ngram_rows(net: Net) -> Node | None:
    """The rows of all hash heads side by side; None where the model has no table."""
    table = net.weight("per_layer_token_embd.weight")
    if table is None or not net.hp.get("ple.layers"):
        return None
    heads = (int(net.hp["ple.ngram_size"]) - 1) * int(net.hp["ple.heads_per_ngram"])
    rows = ops.get_rows(table, net.input("ple_rows", "i32", heads * net.n_tokens))
    return net.expand(ops.reshape(rows, table.ne[0] * heads, net.n_tokens))


def with_ngrams(net: Net, states: States, rows: Node, streams: Node, il: int) -> Node:
    """The streams with the looked-up rows added, gated by how well they fit and spread over time by a convolution."""
    d, hc, n = streams.ne[:3]
    key, value = net.mm(net.need(il, "ple_key"), rows), net.mm(net.need(il, "ple_value"), rows)
    fit = ops.mul(_grouped(net, il, "key", key, d, hc), _grouped(net, il, "query", streams, d, hc))
    fit = ops.scale(ops.sum_rows(fit))
    size = ops.sqrt(ops.clamp(ops.unary(fit, "abs")))
    gate = ops.unary(ops.mul(ops.unary(fit, "sgn"), size), "sigmoid")
    gated = ops.mul(ops.repeat_4d(ops.reshape(value, d, 1, n), d, hc, n, 1), gate)
    normed = ops.reshape(_grouped(net, il, "conv", ops.reshape(gated, d * hc, n), d, hc), d * hc, n)
    conv = ops.reshape(ops.cont(_dilated(net, states, normed, il)), d, hc, n)
    return ops.add(streams, ops.add(gated, conv))


def _grouped(net: Net, il: int, name: str, cur: Node, d: int, hc: int) -> Node:
    """Each stream normalised on its own."""
    weight = ops.as_loaded(net.need(il, f"ple_norm_{name}"), d, hc)
    return ops.mul(ops.rms_norm(ops.reshape(cur, d, hc, net.n_tokens)), weight)


def _dilated(net: Net, states: States, cur: Node, il: int) -> Node:
    """A causal convolution whose taps are an n-gram apart, as a sum of shifted copies."""
    taps, step = int(net.hp["ple.conv_kernel"]), int(net.hp["ple.ngram_size"])
    channels, kept = cur.ne[0], (taps - 1) * step
    cache = net.cache(il, "ple_r", "f32", kept * channels, net.settings.slots * snapshots(net), 1)
    padded = stored_conv(net, states, cache, by_sequence(net, cur))
    n = net.n_tokens // net.n_seqs
    total: Node | None = None
    for tap in range(taps):
        shifted = ops.view_3d(padded, n, channels, net.n_seqs, padded.nb[1], padded.nb[2], 4 * tap * step)
        term = ops.mul(ops.cont(ops.transpose(shifted)), _column(net.need(il, "ple_conv1d"), tap))
        total = term if total is None else ops.add(total, term)
    assert total is not None
    return ops.unary(total, "silu")


def _column(kernel: Node, tap: int) -> Node:
    """One tap's weight of every channel, in F32."""
    column = ops.view_2d(kernel, 1, kernel.ne[1], kernel.nb[1], tap * TYPES[kernel.type].nbytes)
    column = ops.reshape(ops.cont(column), kernel.ne[1])
    return column if column.type == "f32" else ops.cast(column, "f32")


def stored_conv(net: Net, states: States, cache: Node, cur: Node) -> Node:
    """Earlier inputs and the new ones in one row per channel; the last are copied and stored (build_conv_state_at)."""
    channels, n_seqs, row = cur.ne[0], net.n_seqs, cache.nb[1]
    kept = cache.ne[0] // channels
    conv = ops.concat(ops.reshape(read_states(net, states, cache), kept, channels, n_seqs), ops.transpose(cur), 0)
    for slot in range(snapshots(net)):
        start = 4 * max(0, conv.ne[0] - kept - slot)
        last = ops.cont(ops.view_3d(conv, kept, channels, n_seqs, conv.nb[1], conv.nb[2], start))
        net.expand(ops.cpy(last, ops.view_2d(cache, cache.ne[0], n_seqs, row, slot * net.settings.slots * row)))
    return conv
