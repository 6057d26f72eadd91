"""Attention over a cache: storing keys and values, masks, and the product itself.

Source: build_attn*, build_attn_mha in src/llama-graph.cpp; cpy_k, get_k and their like in
src/llama-kv-cache.cpp, build 11434.
"""


from tonnage.engines.llamacpp.cache import window_cells
from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.frozen import dataclass
from tonnage.model.types import Attention, Compressed
from tonnage.quant.types import TYPES


@dataclass(frozen=True, slots=True)
class CacheInput:
    """What one cache needs per batch: where to store, what may be seen, how to rotate before quantising."""

    k_idxs: Node
    v_idxs: Node
    mask: Node
    k_rot: Node | None
    v_rot: Node | None


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of the full cache and, where there is one, of the windows'."""

    full: CacheInput
    swa: CacheInput | None = None

    def of(self, net: Net, il: int) -> CacheInput:
        """The inputs of a block's cache."""
        return self.swa if self.swa is not None and net.is_swa[il] else self.full


def attn_inputs(net: Net) -> Inputs:
    """build_attn_inp_kv, or build_attn_inp_kv_iswa where any block has a window."""
    windows = [m.window for layer in net.model.layers for m in layer.mixers if isinstance(m, Attention | Compressed) and m.window]
    full = _cache_input(net, net.settings.cells, False)
    return Inputs(full, _cache_input(net, window_cells(windows[0], net.settings), True) if windows else None)


def _cache_input(net: Net, cells: int, swa: bool) -> CacheInput:
    v_rows = net.widest_v if net.v_transposed else 1
    return CacheInput(
        net.input("attn_inp_k_idxs", "i64", net.n_tokens),
        net.input("attn_inp_v_idxs", "i64", net.n_tokens * v_rows),
        kq_mask(net, cells),
        *_rotations(net, swa),
    )


def kq_mask(net: Net, cells: int) -> Node:
    """What every token may see of a cache, per stream."""
    streams = 1 if net.settings.unified else net.n_seqs
    return net.input("attn_inp_kq_mask", "f16" if net.flash else "f32", cells, net.n_tokens // streams, 1, streams)


def _rotations(net: Net, swa: bool) -> tuple[Node | None, Node | None]:
    """Hadamard matrices for quantised keys and values, where all heads of the cache have one size."""
    mixers = [
        m
        for i, layer in enumerate(net.model.layers)
        for m in layer.mixers
        if isinstance(m, Attention) and not layer.nextn and m.kv_layer is None and net.is_swa[i] == swa
    ]
    return (
        _rotation(net, net.settings.type_k, {m.k_dim for m in mixers}, net.hp.k_dim, grow=True),
        _rotation(net, net.settings.type_v, {m.v_dim for m in mixers}, net.hp.v_dim, grow=False),
    )


def _rotation(net: Net, type_: str, dims: set[int], full_dim: int, *, grow: bool) -> Node | None:
    if TYPES[type_].elements == 1 or len(dims) != 1 or full_dim % 64:
        return None
    (dim,) = dims
    n = hadamard_size(dim) if grow else 64
    return net.input("attn_inp_rot", "f32", n, n)


def hadamard_size(dim: int) -> int:
    """Rows of the matrix that turns heads of `dim` elements: the greatest power of two from 64 on that divides them."""
    n = 64
    while dim % (2 * n) == 0:
        n *= 2
    return n


def hadamard(cur: Node, matrix: Node) -> Node:
    """Turn `cur` by a Hadamard matrix (llama_mul_mat_hadamard)."""
    n = matrix.ne[0]
    turned = ops.mul_mat(matrix, ops.reshape(cur, n, cur.ne[0] * cur.ne[1] * cur.ne[2] * cur.ne[3] // n))
    return ops.reshape(turned, *cur.ne)


def store_k(net: Net, k: Node, cur: Node, idxs: Node) -> Node:
    """Write keys into their cache (cpy_k)."""
    row = cur.ne[0] * cur.ne[1]
    flat = ops.view_2d(cur, row, cur.ne[2], cur.nb[2])
    return net.expand(ops.set_rows(_all_streams(k), flat, idxs))


def _all_streams(cache: Node) -> Node:
    return ops.reshape(cache, cache.ne[0], cache.ne[1] * cache.ne[2]) if cache.ne[2] > 1 else cache


def store_v(net: Net, v: Node, cur: Node, idxs: Node) -> Node:
    """Write values into their cache, transposed without flash attention (cpy_v)."""
    row, n = cur.ne[0] * cur.ne[1], cur.ne[2]
    if not net.v_transposed:
        flat = ops.view_2d(cur, row, n, cur.nb[2])
        return net.expand(ops.set_rows(_all_streams(v), flat, idxs))
    cur = ops.reshape(cur, row, n) if cur.nb[2] == ops.row_size(cur.type, row) else ops.cont(cur, row, n)
    if row < v.ne[0]:
        cur = ops.pad(cur, v.ne[0] - row)
    elements = v.ne[0] * v.ne[1] * v.ne[2]
    # the engine makes the view of the cache before that of the values
    view = ops.reshape(v, 1, elements)
    return net.expand(ops.set_rows(view, ops.reshape(cur, 1, cur.ne[0] * cur.ne[1]), idxs))


def k_cache(net: Net, il: int, row: int, part: str = "k") -> Node:
    """A block's keys."""
    return net.cache(il, part, net.settings.type_k, row, net.cells(il))


def v_cache(net: Net, il: int, row: int, part: str = "v") -> Node:
    """A block's values, as wide as the widest without flash attention."""
    return net.cache(il, part, net.settings.type_v, net.widest_v if net.v_transposed else row, net.cells(il))


def get_k(k: Node, head_dim: int, heads: int) -> Node:
    """Keys as heads."""
    row, cells = k.ne[0], k.ne[1]
    return ops.view_4d(
        k, (head_dim, heads, cells, k.ne[2]), ops.row_size(k.type, head_dim), ops.row_size(k.type, row), ops.row_size(k.type, row * cells)
    )


def get_v(net: Net, v: Node, head_dim: int, heads: int) -> Node:
    """Values as heads, transposed without flash attention."""
    if not net.v_transposed:
        return get_k(v, head_dim, heads)
    row, cells = v.ne[0], v.ne[1]
    size = ops.row_size
    return ops.view_4d(v, (cells, heads, head_dim, v.ne[2]), size(v.type, cells * head_dim), size(v.type, cells), size(v.type, cells * row))


def attn(
    net: Net,
    inputs: CacheInput,
    il: int,
    q: Node,
    k: Node | None,
    v: Node | None,
    *,
    sinks: Node | None = None,
    kv_layer: int | None = None,
    wo: bool = True,
) -> Node:
    """Store keys and values, attend, and project the result (build_attn).

    Without `k` and `v` the block reads the cache of `kv_layer`. `wo` False leaves the projection to the caller.
    """
    if inputs.k_rot is not None:
        q = hadamard(q, inputs.k_rot)
        k = None if k is None else hadamard(k, inputs.k_rot)
    if inputs.v_rot is not None and v is not None:
        v = hadamard(v, inputs.v_rot)
    # the engine adds keys last with one cache, values last with two
    for node in (q, k, v) if any(net.is_swa) else (q, v, k):
        if node is not None:
            net.expand(node)
    source = il if kv_layer is None else kv_layer
    mixer = next(m for m in net.model.layers[source].mixers if isinstance(m, Attention))
    k_all = k_cache(net, source, mixer.k_dim * mixer.kv_heads)
    v_all = v_cache(net, source, mixer.v_dim * mixer.kv_heads)
    if k is not None:
        store_k(net, k_all, k, inputs.k_idxs)
    if v is not None:
        store_v(net, v_all, v, inputs.v_idxs)
    cur = mha(net, q, get_k(k_all, mixer.k_dim, mixer.kv_heads), get_v(net, v_all, mixer.v_dim, mixer.kv_heads), inputs.mask, sinks=sinks)
    if inputs.v_rot is not None:
        cur = hadamard(cur, inputs.v_rot)
    return net.mm(net.need(il, "attn_output"), cur, net.b(il, "attn_output"), net.s(il, "attn_output")) if wo else cur


def mha(net: Net, q: Node, k: Node, v: Node, mask: Node, *, sinks: Node | None = None, v_mla: Node | None = None) -> Node:
    """Attention itself, with flash attention or step by step (build_attn_mha)."""
    v_trans = v.nb[1] > v.nb[2]
    streams = k.ne[3]
    n = q.ne[2] // streams
    q = ops.view_4d(q, (q.ne[0], q.ne[1], n, streams), q.nb[1], q.nb[2], q.nb[2] * n)
    q, k, v = (ops.permute(t, 0, 2, 1, 3) for t in (q, k, v))
    cur = _flash(q, k, v, mask, sinks, v_mla, v_trans) if net.flash else _steps(net, q, k, v, mask, sinks, v_mla, v_trans)
    return net.expand(cur)


def _flash(q: Node, k: Node, v: Node, mask: Node, sinks: Node | None, v_mla: Node | None, v_trans: bool) -> Node:
    if v_trans:
        v = ops.transpose(v)
    k, v = (ops.cast(t, "f16") if t.type == "f32" else t for t in (k, v))
    cur = ops.flash_attn_ext(q, k, v, mask, sinks)
    if v_mla is not None:
        cur = ops.mul_mat(v_mla, ops.permute(cur, 0, 2, 1, 3))
        cur = ops.cont(ops.permute(cur, 0, 2, 1, 3))
    return ops.reshape(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])


def _steps(net: Net, q: Node, k: Node, v: Node, mask: Node, sinks: Node | None, v_mla: Node | None, v_trans: bool) -> Node:
    kq = ops.mul_mat(k, q)
    if net.hp.get("attn_logit_softcapping"):
        kq = ops.scale(ops.unary(ops.scale(kq), "tanh"))
    kq = ops.soft_max(kq, mask, sinks)
    if not v_trans:
        v = ops.cont(ops.transpose(v))
    kqv = ops.mul_mat(v, kq)
    if v_mla is not None:
        kqv = ops.mul_mat(v_mla, kqv)
    cur = ops.permute(kqv, 0, 2, 1, 3)
    cur = ops.cont(cur, cur.ne[0] * cur.ne[1], cur.ne[2] * cur.ne[3])
    if not net.settings.kv_offload:
        # between the store and the output everything runs on the CPU
        net.pinned[cur] = net.placement.devices
    return cur
