"""DeepSeek's sparse attention (DSA): an indexer chooses the tokens that latent attention may see.

Source: build_attn(llm_graph_input_attn_k_dsa) in src/llama-graph.cpp, src/llama-kv-cache-dsa.cpp and
src/models/deepseek32.cpp, build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import get_k, hadamard_size, k_cache, kq_mask, mha, store_k
from tonnage.engines.llamacpp.compute.graph import Node
from tonnage.engines.llamacpp.compute.mla import LatentInput
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.frozen import dataclass


@dataclass(frozen=True, slots=True)
class SparseInput:
    """What the latent cache and the indexer's need per batch (build_attn_inp_k_dsa)."""

    k_idxs: Node
    mask: Node
    index_idxs: Node
    index_mask: Node
    index_rot: Node | None


def sparse_input(net: Net, *, turned: bool = True) -> SparseInput:
    """Both caches' inputs; the indexer always masks in F16. `turned` keys are turned also where they are not quantised."""
    n = hadamard_size(int(net.hp["attention.indexer.key_length"]))
    return SparseInput(
        net.input("attn_inp_k_idxs", "i64", net.n_tokens),
        kq_mask(net, net.settings.cells),
        net.input("attn_inp_k_idxs", "i64", net.n_tokens),
        index_mask(net),
        net.input("attn_inp_k_rot", "f32", n, n) if turned else None,
    )


def index_mask(net: Net) -> Node:
    """What the indexer may see, in F16 as its kernel wants it, whatever the attention does."""
    streams = net.settings.streams
    return net.input("attn_inp_kq_mask", "f16", net.settings.cells, net.n_tokens // streams, 1, streams)


def chosen(net: Net, inputs: SparseInput, il: int, cur: Node, rank: Node, pos: Node) -> Node:
    """Numbers of the tokens that each token attends to; `rank` are the queries' low-rank rows."""
    heads, dim = int(net.hp["attention.indexer.head_count"]), int(net.hp["attention.indexer.key_length"])
    q = ops.reshape(ops.mul_mat(net.need(il, "indexer.attn_q_b"), rank), dim, heads, net.n_tokens)
    k = net.mm(net.need(il, "indexer.attn_k"), cur)
    k = net.norm(k, net.need(il, "indexer.k_norm"), il, bias=net.b(il, "indexer.k_norm"), rms=False)
    q, k = ops.rope(q, pos), ops.rope(ops.reshape(k, dim, 1, net.n_tokens), pos)
    if inputs.index_rot is not None:
        q, k = ops.mul_mat(inputs.index_rot, q), ops.mul_mat(inputs.index_rot, k)
    cache = k_cache(net, il, dim, "index_k")
    store_k(net, cache, k, inputs.index_idxs)
    weights = ops.mul_mat(net.need(il, "indexer.proj"), cur)
    return top_tokens(net, q, get_k(cache, dim, 1), weights, inputs.index_mask)


def top_tokens(net: Net, q: Node, keys: Node, weights: Node, mask: Node, *, scaled: bool = False) -> Node:
    """The best-scored tokens of every stream, as many as the model takes or the cache holds; `scaled` weights are used as they are."""
    streams = keys.ne[3]
    q = ops.view_4d(q, (q.ne[0], q.ne[1], q.ne[2] // streams, streams), q.nb[1], q.nb[2], q.nb[3] // streams)
    ne, nb = weights.ne, weights.nb
    weights = ops.view_4d(weights, (ne[0], ne[1] // streams, ne[2], streams), nb[1], nb[2] // streams, nb[3] // streams)
    score = ops.lightning_indexer(q, keys, weights if scaled else ops.scale(weights), mask)
    return ops.cont(ops.top_k(score, min(score.ne[0], int(net.hp["attention.indexer.top_k"]))))


def sparse_mask(mask: Node, top: Node, zero_type: str = "f32") -> Node:
    """`mask` with all but the chosen tokens hidden."""
    rows = ops.fill(mask)
    rows = ops.view_4d(rows, (1, rows.ne[0], rows.ne[1], rows.ne[3]), rows.nb[0], rows.nb[1], rows.nb[2])
    ids = ops.view_4d(top, (top.ne[0], top.ne[1], top.ne[3], 1), top.nb[1], top.nb[2], top.ne[3] * top.nb[3])
    zeros = ops.filled(zero_type, 1, *ids.ne[:3])
    shown = ops.set_rows(rows, zeros, ids)
    shown = ops.view_4d(shown, (shown.ne[1], shown.ne[2], 1, shown.ne[3]), shown.nb[2], shown.nb[3], shown.nb[3])
    return ops.add(shown, mask)


def attend(
    net: Net, inputs: SparseInput | LatentInput, il: int, q: Node, k: Node, v: Node, top: Node | None, *, sinks: Node | None = None
) -> Node:
    """Store the latent keys and attend to the chosen tokens, or to all without a choice; without the projection."""
    for node in (q, v, k):
        net.expand(node)
    row = k.ne[0]
    cache = k_cache(net, il, row)
    store_k(net, cache, k, inputs.k_idxs)
    mask = inputs.mask if top is None else sparse_mask(inputs.mask, top)
    keys = get_k(cache, row, 1)
    values = ops.view_4d(keys, (v.ne[0], *keys.ne[1:]), keys.nb[1], keys.nb[2], keys.nb[3])
    return mha(net, q, keys, values, mask, sinks=sinks, v_mla=net.need(il, "attn_v_b"))
