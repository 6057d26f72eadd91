"""Mixers with a state per sequence: reading and writing it, Mamba and Mamba-2.

Source: build_rs in src/llama-graph.cpp, src/llama-memory-recurrent.cpp, src/models/mamba-base.cpp, build 11434.
"""

from collections.abc import Callable

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.frozen import dataclass
from tonnage.model.types import Recurrent

ROLLBACK = frozenset({"kimi-k3", "qwen35", "qwen35moe", "qwen4exp", "glm5-next", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe"})
"""architectures that keep states of drafted tokens to return to (llm_arch_supports_rs_rollback)"""


@dataclass(frozen=True, slots=True)
class States:
    """Which states a batch starts from: those of all slots, those of its own sequences, and the others."""

    every: Node
    own: Node
    others: Node


def state_inputs(net: Net) -> States:
    """build_rs_inp: one number per slot, seen in three ways."""
    slots = net.settings.slots
    every = net.input("rs_s_copy", "i32", slots)
    return States(every, ops.view_1d(every, net.n_seqs), ops.view_1d(every, slots - 1, 4))


def is_recurrent(net: Net, il: int) -> bool:
    """Whether a block keeps a state."""
    return any(isinstance(mixer, Recurrent) for mixer in net.model.layers[il].mixers)


def snapshots(net: Net) -> int:
    """States kept per sequence: the last one, and one more per drafted token."""
    return 1 + (net.settings.n_draft if net.arch in ROLLBACK else 0)


def conv_cache(net: Net, il: int) -> Node:
    """The convolution's last inputs, a row per slot and snapshot (r_l)."""
    return net.cache(il, "r", "f32", _mixer(net, il).conv_elements, net.settings.slots * snapshots(net), 1)


def state_cache(net: Net, il: int) -> Node:
    """The states, a row per slot and snapshot (s_l)."""
    return net.cache(il, "s", "f32", _mixer(net, il).state_elements, net.settings.slots * snapshots(net), 1)


def _mixer(net: Net, il: int) -> Recurrent:
    return next(mixer for mixer in net.model.layers[il].mixers if isinstance(mixer, Recurrent))


def read_states(net: Net, inputs: States, cache: Node, scan: Callable[[Node, Node], Node] | None = None) -> Node:
    """The states that the batch starts from (build_rs); those of other slots are copied to their new places.

    `scan` takes the states and the batch's numbers and reads them itself: only the others are gathered then.
    """
    row, slots, n_seqs = cache.ne[0], net.settings.slots, net.n_seqs
    states = ops.reshape(cache, row, cache.ne[1])
    net.expand(ops.scale_inplace(ops.view_1d(states, row)))
    gathered = ops.get_rows(states, inputs.others if scan else inputs.every)
    found = scan(states, inputs.own) if scan else ops.view_2d(gathered, row, n_seqs, gathered.nb[1])
    net.expand(found)
    first = n_seqs - 1 if scan else n_seqs
    others = ops.view_2d(gathered, row, slots - n_seqs, gathered.nb[1], first * gathered.nb[1])
    net.expand(ops.cpy(others, ops.view_2d(cache, row, slots - n_seqs, cache.nb[1], n_seqs * cache.nb[1])))
    return found


def by_sequence(net: Net, cur: Node) -> Node:
    """Tokens grouped by their sequence."""
    return ops.reshape(cur, cur.ne[0], net.n_tokens // net.n_seqs, net.n_seqs)


def write_conv(net: Net, cache: Node, conv: Node, kept: int) -> None:
    """Store the last `kept` columns of a convolution's input, and those of earlier tokens to return to."""
    n_seq_tokens, slots = net.n_tokens // net.n_seqs, net.settings.slots
    for slot in range(min(n_seq_tokens, snapshots(net))):
        last = ops.view_3d(conv, kept, conv.ne[1], conv.ne[2], conv.nb[1], conv.nb[2], (conv.ne[0] - kept - slot) * 4)
        net.expand(ops.cpy(last, ops.view_2d(cache, cache.ne[0], net.n_seqs, cache.nb[1], slot * slots * cache.nb[1])))


def unwanted_dropped_late(net: Net, cur: Node, out_ids: Node) -> Node:
    """The final norm over all tokens, which a draft reads, then the head for those that are wanted."""
    cur = net.norm(cur, net.weight("output_norm.weight"))
    cur.flags |= OUTPUT
    cur = ops.get_rows(cur, out_ids)
    cur.flags |= OUTPUT
    return head(net, cur)


def head(net: Net, cur: Node) -> Node:
    """Logits."""
    weight = net.weight("output.weight")
    assert weight is not None
    return net.mm(weight, cur)


# --- Mamba-2 ---------------------------------------------------------------------------------------


def mamba2(net: Net, inputs: States, cur: Node, il: int) -> Node:
    """A Mamba-2 mixer (build_mamba2_layer)."""
    d_inner, d_state, heads, groups = (int(net.hp[f"ssm.{key}"]) for key in ("inner_size", "state_size", "time_step_rank", "group_count"))
    d_conv, n_seqs, head_dim = int(net.hp["ssm.conv_kernel"]), net.n_seqs, d_inner // heads
    n, channels = net.n_tokens // n_seqs, d_inner + 2 * groups * d_state
    r_cache, s_cache = conv_cache(net, il), state_cache(net, il)
    conv = ops.reshape(read_states(net, inputs, r_cache), d_conv - 1, channels, n_seqs)
    mixed = by_sequence(net, net.mm(net.need(il, "ssm_in"), cur))
    row, plane = mixed.nb[1], mixed.nb[2]
    z = ops.view_4d(mixed, (head_dim, heads, n, n_seqs), head_dim * 4, row, plane)
    xbc = ops.view_3d(mixed, channels, n, n_seqs, row, plane, d_inner * 4)
    dt = ops.view_3d(mixed, heads, n, n_seqs, row, plane, (d_inner + channels) * 4)
    xbc = _convolved(net, il, ops.concat(conv, ops.transpose(xbc), 0), r_cache, d_conv - 1)
    row, plane = xbc.nb[1], xbc.nb[2]
    x = ops.view_4d(xbc, (head_dim, heads, n, n_seqs), head_dim * 4, row, plane)
    b = _part(xbc, (d_state, groups, n, n_seqs), d_inner)
    c = _part(xbc, (d_state, groups, n, n_seqs), d_inner + groups * d_state)
    dt = ops.add(ops.cont(dt), _bias(net, il, "ssm_dt"))

    def scan(states: Node, ids: Node) -> Node:
        rows = ops.reshape(states, d_state, head_dim, heads, s_cache.ne[1])
        return ops.ssm_scan(rows, x, dt, _plain(net, il, "ssm_a"), b, c, ids, snapshots(net))

    scanned = read_states(net, inputs, s_cache, scan)
    _write_scanned(net, s_cache, scanned, 4 * d_inner * n * n_seqs)
    y = ops.view_4d(scanned, x.ne, x.nb[1], heads * x.nb[1], n * heads * x.nb[1])
    y = ops.add(y, ops.mul(x, _plain(net, il, "ssm_d")))
    y = ops.glu(ops.cont(z), y)
    norm = net.w(il, "ssm_norm")
    if norm is not None:
        y = net.norm(ops.reshape(y, d_inner // groups, groups, n, n_seqs), norm, il)
    return net.mm(net.need(il, "ssm_out"), ops.reshape(y, d_inner, net.n_tokens))


def _convolved(net: Net, il: int, conv: Node, cache: Node, kept: int) -> Node:
    write_conv(net, cache, conv, kept)
    cur = ops.add(ops.ssm_conv(conv, net.need(il, "ssm_conv1d")), _bias(net, il, "ssm_conv1d"))
    return ops.unary(cur, "silu")


def _part(cur: Node, ne: tuple[int, int, int, int], start: int) -> Node:
    return ops.view_4d(cur, ne, ne[0] * 4, cur.nb[1], cur.nb[2], start * 4)


def _write_scanned(net: Net, cache: Node, scanned: Node, start: int) -> None:
    row, n_seqs, slots = cache.ne[0], net.n_seqs, net.settings.slots
    written = min(net.n_tokens // n_seqs, snapshots(net))
    source = ops.view_3d(scanned, row, n_seqs, written, 4 * row, 4 * row * n_seqs, start)
    net.expand(ops.cpy(source, ops.view_3d(cache, row, n_seqs, written, cache.nb[1], slots * cache.nb[1])))


def _bias(net: Net, il: int, name: str) -> Node:
    bias = net.b(il, name)
    if bias is None:
        raise KeyError(f"blk.{il}.{name}.bias")
    return bias


def _plain(net: Net, il: int, name: str) -> Node:
    weight = net.weight(f"blk.{il}.{name}")
    if weight is None:
        raise KeyError(f"blk.{il}.{name}")
    return weight


# --- Mamba -----------------------------------------------------------------------------------------


def mamba(net: Net, inputs: States, cur: Node, il: int) -> Node:
    """A Mamba mixer (build_mamba_layer): heads of one channel, and no drafted states."""
    d_inner, d_state, dt_rank, d_conv = (int(net.hp[f"ssm.{key}"]) for key in ("inner_size", "state_size", "time_step_rank", "conv_kernel"))
    n_seqs = net.n_seqs
    n = net.n_tokens // n_seqs
    r_cache, s_cache = conv_cache(net, il), state_cache(net, il)
    conv = ops.reshape(read_states(net, inputs, r_cache), d_conv - 1, d_inner, n_seqs)
    xz = net.mm(net.need(il, "ssm_in"), by_sequence(net, cur))
    x = ops.view_3d(xz, d_inner, n, n_seqs, xz.nb[1], xz.nb[2])
    z = ops.view_3d(xz, d_inner, n, n_seqs, xz.nb[1], xz.nb[2], 4 * d_inner)
    conv = ops.concat(conv, ops.transpose(x), 0)
    last = ops.view_3d(conv, d_conv - 1, d_inner, n_seqs, conv.nb[1], conv.nb[2], n * 4)
    net.expand(ops.cpy(last, ops.view_1d(r_cache, (d_conv - 1) * d_inner * n_seqs)))
    x = ops.unary(ops.add(ops.ssm_conv(conv, net.need(il, "ssm_conv1d")), _bias(net, il, "ssm_conv1d")), "silu")
    dt, b, c = _dt_b_c(net, il, net.mm(net.need(il, "ssm_x"), x), d_state, dt_rank)
    dt = ops.add(net.mm(net.need(il, "ssm_dt"), dt), _bias(net, il, "ssm_dt"))
    cur, x = x, ops.reshape(x, 1, d_inner, n, n_seqs)

    def scan(states: Node, ids: Node) -> Node:
        rows = ops.reshape(states, d_state, 1, d_inner, net.settings.slots)
        return ops.ssm_scan(rows, x, dt, _plain(net, il, "ssm_a"), b, c, ids)

    scanned = read_states(net, inputs, s_cache, scan)
    states = d_state * d_inner * n_seqs
    net.expand(ops.cpy(ops.view_1d(scanned, states, x.nb[3] * x.ne[3]), ops.view_1d(s_cache, states)))
    y = ops.view_3d(scanned, d_inner, n, n_seqs, x.nb[2], x.nb[3])
    y = ops.add(y, ops.mul(cur, _plain(net, il, "ssm_d")))
    y = net.mm(net.need(il, "ssm_out"), ops.glu(ops.cont(z), y))
    return ops.reshape(y, y.ne[0], net.n_tokens)


def _dt_b_c(net: Net, il: int, mixed: Node, d_state: int, dt_rank: int) -> tuple[Node, Node, Node]:
    """Step, input and output projections of every token, normalised where there are norms (Jamba, Falcon Mamba)."""
    n, n_seqs = mixed.ne[1], mixed.ne[2]
    dt = ops.view_3d(mixed, dt_rank, n, n_seqs, mixed.nb[1], mixed.nb[2])
    b = _part(mixed, (d_state, 1, n, n_seqs), dt_rank)
    c = _part(mixed, (d_state, 1, n, n_seqs), dt_rank + d_state)
    norms = [net.w(il, f"ssm_{part}_norm") for part in ("dt", "b", "c")]
    if net.hp.get("ssm.dt_b_c_rms") or None not in norms:
        return net.norm(dt, norms[0], il), net.norm(b, norms[1], il), net.norm(c, norms[2], il)
    return ops.cont(dt), b, c
