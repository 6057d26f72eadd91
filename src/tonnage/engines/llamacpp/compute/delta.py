"""The gated delta rule, one fused operation on every device.

Source: src/models/delta-net-base.cpp of build 11434, in which nothing gives the fused operation up (auto_fgdn is off).
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.recurrent import States, conv_cache, read_states, snapshots, write_conv


def conv_input(net: Net, states: States, cur: Node, il: int) -> Node:
    """The last inputs and the new ones in one row per channel; what the next batch needs is stored (build_conv_state)."""
    cache = conv_cache(net, il)
    kernel = net.need(il, "ssm_conv1d").ne[0]
    before = ops.reshape(read_states(net, states, cache), kernel - 1, cur.ne[0], net.n_seqs)
    conv = ops.concat(before, ops.transpose(cur), 0)
    if snapshots(net) == 1:
        write_conv(net, cache, conv, kernel - 1)
    else:
        _write_drafted(net, cache, conv, kernel - 1)
    return conv


def _write_drafted(net: Net, cache: Node, conv: Node, kept: int) -> None:
    """The oldest snapshot first, every one of them however short the batch is."""
    for slot in reversed(range(snapshots(net))):
        start = max(0, conv.ne[0] - kept - slot)
        last = ops.view_3d(conv, kept, conv.ne[1], net.n_seqs, conv.nb[1], conv.nb[2], start * 4)
        target = ops.view_2d(cache, cache.ne[0], net.n_seqs, cache.nb[1], slot * net.settings.slots * cache.nb[1])
        net.expand(ops.cpy(last, target))


def unit_length(cur: Node) -> Node:
    """Rows of length 1, by way of their root mean square (build_gdn_l2_norm)."""
    return ops.scale(ops.rms_norm(cur))


def recurrent_attn(net: Net, cache: Node, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node) -> Node:
    """Outputs of all tokens; the new states are stored (build_recurrent_attn)."""
    if snapshots(net) > 1:
        return _with_snapshots(net, cache, q, k, v, g, b, s)
    output, state = delta_net(net, q, k, v, g, b, s)
    net.expand(ops.cpy(state, ops.view_2d(cache, cache.ne[0], net.n_seqs, cache.nb[1])))
    return output


def _with_snapshots(net: Net, cache: Node, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node) -> Node:
    width, heads, n, n_seqs = v.ne
    result = ops.gated_delta_net(q, k, v, g, b, s, snapshots(net))
    output = ops.view_4d(result, v.ne, width * 4, width * heads * 4, width * heads * n * 4)
    row, written = width * width * heads, min(n, snapshots(net))
    source = ops.view_3d(result, row, n_seqs, written, row * 4, row * n_seqs * 4, width * heads * n * n_seqs * 4)
    net.expand(ops.cpy(source, ops.view_3d(cache, row, n_seqs, written, cache.nb[1], net.settings.slots * cache.nb[1])))
    return output


def delta_net(net: Net, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node) -> tuple[Node, Node]:
    """Outputs and new states (build_delta_net)."""
    width, heads, n, n_seqs = v.ne
    result = ops.gated_delta_net(q, k, v, g, b, s)
    output = ops.view_4d(result, v.ne, width * 4, width * heads * 4, width * heads * n * 4)
    state = (width, width, heads, n_seqs)
    return output, ops.view_4d(result, state, width * 4, width * width * 4, width * width * heads * 4, width * heads * n * n_seqs * 4)
