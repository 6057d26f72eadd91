"""The gated delta rule: one fused operation where every device has it, else many small ones.

Source: src/models/delta-net-base.cpp of build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import ALL_FUSED, AUTOREGRESSIVE, CHUNKED, Net
from tonnage.engines.llamacpp.compute.recurrent import States, conv_cache, read_states, snapshots, write_conv
from tonnage.units import pad

CHUNK, KDA_CHUNK = 64, 16
"""tokens that are computed at once; fewer where every channel decays on its own"""


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


def recurrent_attn(net: Net, cache: Node, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node, il: int) -> Node:
    """Outputs of all tokens; the new states are stored (build_recurrent_attn)."""
    if snapshots(net) > 1:
        return _with_snapshots(net, cache, q, k, v, g, b, s, il)
    output, state = delta_net(net, q, k, v, g, b, s, il)
    net.expand(ops.cpy(state, ops.view_2d(cache, cache.ne[0], net.n_seqs, cache.nb[1])))
    return output


def _with_snapshots(net: Net, cache: Node, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node, il: int) -> Node:
    width, heads, n, n_seqs = v.ne
    result = ops.gated_delta_net(q, k, v, g, b, s, snapshots(net))
    net.delta_nets.append((il, result))
    output = ops.view_4d(result, v.ne, width * 4, width * heads * 4, width * heads * n * 4)
    row, written = width * width * heads, min(n, snapshots(net))
    source = ops.view_3d(result, row, n_seqs, written, row * 4, row * n_seqs * 4, width * heads * n * n_seqs * 4)
    net.expand(ops.cpy(source, ops.view_3d(cache, row, n_seqs, written, cache.nb[1], net.settings.slots * cache.nb[1])))
    return output


def delta_net(net: Net, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node, il: int) -> tuple[Node, Node]:
    """Outputs and new states, fused where llama.cpp found that it can (build_delta_net)."""
    single = q.ne[2] == 1
    if (AUTOREGRESSIVE if single else CHUNKED) in net.fused:
        return _fused(net, q, k, v, g, b, s, il)
    return (_one_token if single else _chunks)(q, k, v, g, b, s)


def always_fused(net: Net) -> bool:
    """Whether both kinds of batches run fused: then heads need no repeating."""
    return net.fused == ALL_FUSED


def _fused(net: Net, q: Node, k: Node, v: Node, g: Node, b: Node, s: Node, il: int) -> tuple[Node, Node]:
    width, heads, n, n_seqs = v.ne
    result = ops.gated_delta_net(q, k, v, g, b, s)
    net.delta_nets.append((il, result))
    output = ops.view_4d(result, v.ne, width * 4, width * heads * 4, width * heads * n * 4)
    state = (width, width, heads, n_seqs)
    return output, ops.view_4d(result, state, width * 4, width * width * 4, width * width * heads * 4, width * heads * n * n_seqs * 4)


# --- without the fused operation -----------------------------------------------------------------------


def _one_token(q: Node, k: Node, v: Node, g: Node, b: Node, s: Node) -> tuple[Node, Node]:
    """build_delta_net_autoregressive."""
    heads, n_seqs = v.ne[1], v.ne[3]
    q = ops.scale(q)
    q, k, v = (ops.permute(t, 0, 2, 1, 3) for t in (q, k, v))
    g = ops.unary(ops.reshape(g, 1, g.ne[0], heads, n_seqs), "exp")
    b = ops.reshape(b, 1, 1, heads, n_seqs)
    s = ops.mul(s, g)
    sk = ops.sum_rows(ops.mul(s, k))
    d = ops.mul(ops.sub(v, ops.transpose(sk)), b)
    s = ops.add(s, ops.mul(ops.repeat_4d(k, *s.ne), ops.transpose(d)))
    return ops.permute(ops.sum_rows(ops.mul(s, q)), 2, 0, 1, 3), s


def _chunks(q: Node, k: Node, v: Node, g: Node, b: Node, s: Node) -> tuple[Node, Node]:
    """build_delta_net_chunking: everything that chunks do not owe each other at once, then chunk by chunk."""
    width, heads, n, n_seqs = v.ne
    kda = g.ne[0] == q.ne[0] and g.ne[1] == q.ne[1]
    size = KDA_CHUNK if kda else CHUNK
    padded = pad(n, size)
    q = ops.scale(q)
    q, k, v, g, b = (ops.pad(ops.permute(t, 0, 2, 1, 3), 0, padded - n) for t in (q, k, v, g, b))
    vb, kb = ops.mul(v, b), ops.mul(k, b)
    q, k, kb, vb, g = (ops.reshape(t, t.ne[0], size, padded // size, t.ne[2] * n_seqs) for t in (q, k, kb, vb, g))
    sums = ops.cumsum(_turned(g))
    kk, kq = (_products_per_channel if kda else _products)(q, k, kb, sums)
    attn, kq = _solved(kk, kq)
    v = ops.mul_mat(_turned(vb), attn)
    decay = ops.unary(sums, "exp")
    k_cd = ops.mul_mat(ops.mul(_turned(kb), decay), attn)
    q_decayed = ops.mul(q, _turned(decay))
    last = ops.cont(ops.view_4d(sums, (1, *sums.ne[1:]), sums.nb[1], sums.nb[2], sums.nb[3], (size - 1) * 4))
    last_decay = ops.transpose(ops.unary(last, "exp"))
    ahead = ops.unary(ops.unary(ops.sub(sums, last), "neg"), "exp")
    kg_t = _turned(ops.mul(k, _turned(ahead)))
    s = ops.reshape(s, width, width, 1, heads * n_seqs)
    v, s = _one_by_one(v, s, k_cd, kq, q_decayed, kg_t, last_decay)
    row = width * padded * 4
    out = ops.view_4d(v, (width, n, heads, n_seqs), width * 4, row, row * heads)
    return ops.permute(out, 0, 2, 1, 3), ops.reshape(s, width, width, heads, n_seqs)


def _turned(cur: Node) -> Node:
    return ops.cont(ops.transpose(cur))


def _products(q: Node, k: Node, kb: Node, sums: Node) -> tuple[Node, Node]:
    """Keys with keys and with queries in a chunk, decayed by the tokens between them."""
    size, _, chunks, heads = sums.ne
    later = ops.repeat_4d(ops.reshape(sums, 1, size, chunks, heads), size, size, chunks, heads)
    mask = ops.unary(ops.tri(ops.sub(later, sums)), "exp")
    return ops.mul(ops.mul_mat(k, kb), mask), ops.mul(ops.mul_mat(k, q), mask)


def _products_per_channel(q: Node, k: Node, kb: Node, sums: Node) -> tuple[Node, Node]:
    """The same where every channel decays on its own (KDA)."""
    size, width, chunks, heads = sums.ne
    every = chunks * heads
    earlier = ops.reshape(sums, size, 1, width, every)
    later = ops.repeat_4d(ops.reshape(sums, 1, size, width, every), size, size, width, every)
    mask = ops.unary(ops.tri(ops.sub(later, earlier)), "exp")
    mask = ops.cont(ops.permute(mask, 2, 1, 0, 3), width, size, size, every)
    kj = ops.reshape(k, width, 1, size, every)
    kk = ops.mul_mat(ops.mul(mask, ops.reshape(kb, width, size, 1, every)), kj)
    kq = ops.mul_mat(ops.mul(mask, ops.reshape(q, width, size, 1, every)), kj)
    return _turned(ops.reshape(kk, size, size, chunks, heads)), _turned(ops.reshape(kq, size, size, chunks, heads))


def _solved(kk: Node, kq: Node) -> tuple[Node, Node]:
    """The inverse that makes a chunk's tokens independent, and the masked queries."""
    kq = ops.tri(kq)
    attn = ops.tri(kk)
    identity = ops.diag(ops.fill(ops.view_1d(attn, attn.ne[0])))
    left = ops.add(attn, identity)
    return ops.add(ops.solve_tri(left, ops.unary(attn, "neg")), identity), kq


def _one_by_one(v: Node, s: Node, k_cd: Node, kq: Node, q: Node, kg_t: Node, last_decay: Node) -> tuple[Node, Node]:
    """Carry the state from chunk to chunk."""
    v_t = _turned(v)
    for i in range(v.ne[2]):
        new = ops.sub(_slice(v_t, i), ops.mul_mat(_slice(k_cd, i), s))
        inside = ops.mul_mat(new, _slice(kq, i))
        v = ops.set_inplace(v, ops.add(ops.mul_mat(s, _slice(q, i)), inside))
        gained = ops.mul_mat(_slice(kg_t, i), new)
        s = ops.add(ops.mul(s, _slice(last_decay, i)), gained)
    return v, s


def _slice(cur: Node, i: int) -> Node:
    return ops.view_4d(cur, (cur.ne[0], cur.ne[1], 1, cur.ne[3]), cur.nb[1], cur.nb[2], cur.nb[3], i * cur.nb[2])
