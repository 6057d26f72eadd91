"""ggml's operations: what each makes of its sources' shapes and strides.

Source: ggml/src/ggml.c of build 11434. Names are ggml's; results are new tensors or views, as there.
"""

from collections.abc import Sequence

from tonnage.engines.llamacpp.compute.graph import Node, Shape
from tonnage.quant.types import TYPES


def shape(*ne: int) -> Shape:
    """Four dimensions, the missing ones 1."""
    return (*ne, *(1,) * (4 - len(ne)))  # type: ignore[return-value]


def strides(type_: str, ne: Shape) -> Shape:
    """Bytes between neighbours of a tensor without gaps."""
    block = TYPES[type_]
    nb1 = block.nbytes * (ne[0] // block.elements)
    return (block.nbytes, nb1, nb1 * ne[1], nb1 * ne[1] * ne[2])


def row_size(type_: str, n: int) -> int:
    """Bytes of `n` elements of a row."""
    block = TYPES[type_]
    return block.nbytes * n // block.elements


def new(op: str, type_: str, ne: Shape, sources: Sequence[Node] = (), name: str = "", param: str = "") -> Node:
    """A tensor with memory of its own."""
    return Node(op, name, type_, ne, strides(type_, ne), sources, param=param)


def like(op: str, a: Node, *more: Node, name: str = "", param: str = "") -> Node:
    """The result of an operation that keeps type and shape of `a`, without gaps (ggml_dup_tensor)."""
    return new(op, a.type, a.ne, (a, *more), name, param)


# --- views ----------------------------------------------------------------------------------------


def _view(op: str, a: Node, ne: Shape, nb: Shape, offset: int = 0, sources: Sequence[Node] | None = None) -> Node:
    return Node(op, "", a.type, ne, nb, (a,) if sources is None else sources, view_of=a.root, view_offset=a.view_offset + offset)


def as_loaded(weight: Node, *ne: int) -> Node:
    """A weight that the loader gives another shape than the file (TENSOR_ALLOW_RESHAPE)."""
    dims = shape(*ne)
    if dims == weight.ne:
        return weight
    return Node("NONE", weight.name, weight.type, dims, strides(weight.type, dims), home=weight.home, weight=True)


def reshape(a: Node, *ne: int) -> Node:
    """`a` without gaps, in another shape."""
    dims = shape(*ne)
    return _view("RESHAPE", a, dims, strides(a.type, dims))


def view_1d(a: Node, ne0: int, offset: int = 0) -> Node:
    """A stretch of `a`."""
    dims = shape(ne0)
    return _view("VIEW", a, dims, strides(a.type, dims), offset)


def view_2d(a: Node, ne0: int, ne1: int, nb1: int, offset: int = 0) -> Node:
    """Rows of `a`, `nb1` bytes apart."""
    return _view("VIEW", a, shape(ne0, ne1), (TYPES[a.type].nbytes, nb1, nb1 * ne1, nb1 * ne1), offset)


def view_3d(a: Node, ne0: int, ne1: int, ne2: int, nb1: int, nb2: int, offset: int = 0) -> Node:
    """Planes of `a`."""
    return _view("VIEW", a, shape(ne0, ne1, ne2), (TYPES[a.type].nbytes, nb1, nb2, nb2 * ne2), offset)


def view_4d(a: Node, ne: Shape, nb1: int, nb2: int, nb3: int, offset: int = 0) -> Node:
    """Any part of `a`."""
    return _view("VIEW", a, ne, (TYPES[a.type].nbytes, nb1, nb2, nb3), offset)


def permute(a: Node, *axes: int) -> Node:
    """Dimension i of `a` becomes dimension `axes[i]`."""
    ne, nb = [0] * 4, [0] * 4
    for i, axis in enumerate(axes):
        ne[axis], nb[axis] = a.ne[i], a.nb[i]
    return _view("PERMUTE", a, (ne[0], ne[1], ne[2], ne[3]), (nb[0], nb[1], nb[2], nb[3]))


def transpose(a: Node) -> Node:
    """Rows become columns."""
    ne, nb = a.ne, a.nb
    return _view("TRANSPOSE", a, (ne[1], ne[0], ne[2], ne[3]), (nb[1], nb[0], nb[2], nb[3]))


# --- copies ---------------------------------------------------------------------------------------


def cont(a: Node, *ne: int) -> Node:
    """`a` without gaps, in another shape if one is given."""
    return new("CONT", a.type, shape(*ne) if ne else a.ne, (a,))


def dup(a: Node) -> Node:
    """A copy."""
    return like("DUP", a)


def cpy(a: Node, b: Node) -> Node:
    """Write `a` into `b`'s memory."""
    return Node("CPY", "", b.type, b.ne, b.nb, (a, b), view_of=b.root, view_offset=b.view_offset)


def cast(a: Node, type_: str) -> Node:
    """`a` in another type; ggml names the result as its own second source."""
    result = new("CPY", type_, a.ne, (a,))
    result.sources.append(result)
    return result


def get_rows(a: Node, ids: Node) -> Node:
    """Rows of `a` by number."""
    return new("GET_ROWS", "i32" if a.type == "i32" else "f32", (a.ne[0], ids.ne[0], ids.ne[1], ids.ne[2]), (a, ids))


def set_rows(a: Node, b: Node, ids: Node) -> Node:
    """Write rows `b` into `a`'s memory."""
    return Node("SET_ROWS", "", a.type, a.ne, a.nb, (b, ids, a), view_of=a.root, view_offset=a.view_offset)


def concat(a: Node, b: Node, dim: int) -> Node:
    """`b` behind `a` along a dimension."""
    ne = list(a.ne)
    ne[dim] += b.ne[dim]
    return new("CONCAT", a.type, (ne[0], ne[1], ne[2], ne[3]), (a, b))


def repeat_4d(a: Node, *ne: int) -> Node:
    """`a` again and again, until the shape is filled."""
    return new("REPEAT", a.type, shape(*ne), (a,))


def pad(a: Node, p0: int, p1: int = 0, p2: int = 0, p3: int = 0) -> Node:
    """`a` with zeros behind it."""
    return new("PAD", a.type, (a.ne[0] + p0, a.ne[1] + p1, a.ne[2] + p2, a.ne[3] + p3), (a,))


# --- arithmetic -------------------------------------------------------------------------------------


def mul_mat(a: Node, b: Node) -> Node:
    """Matrix product: rows of `a` with rows of `b`."""
    return new("MUL_MAT", "f32", (a.ne[1], b.ne[1], b.ne[2], b.ne[3]), (a, b))


def mul_mat_id(a: Node, b: Node, ids: Node) -> Node:
    """Products with the matrices that `ids` choose from the stack `a`."""
    return new("MUL_MAT_ID", "f32", (a.ne[1], ids.ne[0], b.ne[2], 1), (a, b, ids))


def add(a: Node, b: Node) -> Node:
    """Sum; `b` is repeated where it is smaller."""
    return like("ADD", a, b)


def add_id(a: Node, b: Node, ids: Node) -> Node:
    """Sum with the rows of `b` that `ids` choose."""
    return like("ADD_ID", a, b, ids)


def sub(a: Node, b: Node) -> Node:
    """Difference."""
    return like("SUB", a, b)


def mul(a: Node, b: Node) -> Node:
    """Product of elements; `b` is repeated where it is smaller."""
    return like("MUL", a, b)


def div(a: Node, b: Node) -> Node:
    """Quotient of elements."""
    return like("DIV", a, b)


def scale(a: Node) -> Node:
    """`a` times a number."""
    return like("SCALE", a)


def scale_inplace(a: Node) -> Node:
    """`a` times a number, in `a`'s memory."""
    return _view("SCALE", a, a.ne, a.nb)


def unary(a: Node, kind: str) -> Node:
    """A function of each element: silu, sigmoid, relu, gelu, tanh, softplus, exp, ..."""
    return like("UNARY", a, param=kind)


def sqr(a: Node) -> Node:
    """Squares."""
    return like("SQR", a)


def sqrt(a: Node) -> Node:
    """Square roots."""
    return like("SQRT", a)


def clamp(a: Node) -> Node:
    """Elements held between two bounds."""
    return like("CLAMP", a)


def fill(a: Node) -> Node:
    """A tensor like `a`, all elements one number."""
    return like("FILL", a)


def rms_norm(a: Node) -> Node:
    """Rows divided by their root mean square."""
    return like("RMS_NORM", a)


def norm(a: Node) -> Node:
    """Rows of mean 0 and variance 1."""
    return like("NORM", a)


def sum_rows(a: Node) -> Node:
    """The sum of each row."""
    return new("SUM_ROWS", a.type, (1, *a.ne[1:]), (a,))


def mean(a: Node) -> Node:
    """The mean of each row."""
    return new("MEAN", "f32", (1, *a.ne[1:]), (a,))


def cumsum(a: Node) -> Node:
    """Running sums along rows."""
    return like("CUMSUM", a)


def soft_max(a: Node, mask: Node | None = None, sinks: Node | None = None) -> Node:
    """Softmax of rows; `param` says whether anything but the logits goes in."""
    more = [t for t in (mask, sinks) if t is not None]
    return like("SOFT_MAX", a, *more)


def rope_back(a: Node, positions: Node) -> Node:
    """Rotary position embedding undone."""
    return like("ROPE_BACK", a, positions)


def rope(a: Node, positions: Node, factors: Node | None = None) -> Node:
    """Rotary position embedding."""
    return like("ROPE", a, positions, *([] if factors is None else [factors]))


def glu(a: Node, b: Node, kind: str = "swiglu") -> Node:
    """Gate `a` and `b` joined: swiglu, geglu, reglu, swiglu_oai, swiglu_clamp."""
    return like("GLU", a, b, param=kind)


def glu_halves(a: Node, kind: str = "swiglu") -> Node:
    """The two halves of each row joined."""
    return new("GLU", a.type, (a.ne[0] // 2, *a.ne[1:]), (a,), param=kind)


def argsort_top_k(a: Node, k: int) -> Node:
    """Numbers of the `k` greatest elements of each row, a view of all numbers sorted."""
    order = new("ARGSORT", "i32", a.ne, (a,))
    return view_4d(order, (k, *a.ne[1:]), order.nb[1], order.nb[2], order.nb[3])


def top_k(a: Node, k: int) -> Node:
    """Numbers of the `k` greatest elements of each row, in no order."""
    return new("TOP_K", "i32", (k, *a.ne[1:]), (a,))


def flash_attn_ext(q: Node, k: Node, v: Node, mask: Node | None, sinks: Node | None = None) -> Node:
    """Attention in one operation."""
    sources = [t for t in (q, k, v, mask, sinks) if t is not None]
    return new("FLASH_ATTN_EXT", "f32", (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), sources)


def ssm_conv(x: Node, kernel: Node) -> Node:
    """A causal convolution along time."""
    return new("SSM_CONV", "f32", (x.ne[1], x.ne[0] - kernel.ne[0] + 1, x.ne[2], 1), (x, kernel))


# --- recurrent mixers -------------------------------------------------------------------------------


def ssm_scan(s: Node, x: Node, dt: Node, a: Node, b: Node, c: Node, ids: Node, snapshots: int = 1) -> Node:
    """Mamba's selective scan: outputs of all tokens, and behind them the last states of every sequence."""
    states = snapshots * s.ne[0] * s.ne[1] * s.ne[2] * ids.ne[0]
    return new("SSM_SCAN", "f32", shape(x.ne[0] * x.ne[1] * x.ne[2] * x.ne[3] + states), (s, x, dt, a, b, c, ids))


def gated_delta_net(q: Node, k: Node, v: Node, g: Node, beta: Node, state: Node, snapshots: int = 1) -> Node:
    """The gated delta rule over all tokens: outputs, and behind them the last states of every sequence."""
    width, heads, n_tokens, n_seqs = v.ne
    return new("GATED_DELTA_NET", "f32", shape(width * heads, n_tokens * n_seqs + snapshots * width * n_seqs), (q, k, v, g, beta, state))


def hc_pre(x: Node, weights: Node) -> Node:
    """Streams of the hidden state summed with a weight each (dsv4_hc_pre)."""
    return new("DSV4_HC_PRE", "f32", shape(x.ne[0], x.ne[2]), (x, weights))


def lightning_indexer(q: Node, k: Node, weights: Node, mask: Node) -> Node:
    """Scores by which sparse attention chooses tokens."""
    return new("LIGHTNING_INDEXER", "f32", (k.ne[2], q.ne[2], 1, q.ne[3]), (q, k, weights, mask))


def add_inplace(a: Node, b: Node) -> Node:
    """Sum, in `a`'s memory."""
    return _view("ADD", a, a.ne, a.nb, sources=(a, b))


def pool_rows(a: Node, k: int) -> Node:
    """The greatest of every `k` elements of a row."""
    return new("POOL_2D", "f32", (a.ne[0] // k, *a.ne[1:]), (a,))


def hc_comb(mixes: Node, scale: Node, base: Node, streams: int) -> Node:
    """The matrix by which every token's residual streams are mixed."""
    return new("DSV4_HC_COMB", "f32", (streams, streams, mixes.ne[1], 1), (mixes, scale, base))


def hc_post(x: Node, residual: Node, post: Node, comb: Node | None = None) -> Node:
    """A block's output dealt to all residual streams."""
    more = () if comb is None else (comb,)
    return new("DSV4_HC_POST", "f32", residual.ne, (x, residual, post, *more))


def argsort(a: Node) -> Node:
    """Numbers of the elements of each row in their order."""
    return new("ARGSORT", "i32", a.ne, (a,))


def arange(n: int) -> Node:
    """Numbers one after the other."""
    return new("ARANGE", "f32", shape(n))


def filled(type_: str, *ne: int) -> Node:
    """A new tensor, all elements one number."""
    return fill(new("NONE", type_, shape(*ne)))
