"""Gemma 3n: several streams of the hidden state (AltUp), a low-rank path beside attention, an input of its own for every layer.

Source: src/models/gemma3n.cpp, build 11434.
"""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import Inputs, attn, attn_inputs
from tonnage.engines.llamacpp.compute.blocks import head, rotated, softcapped
from tonnage.engines.llamacpp.compute.families.gemma4 import layer_inputs, slice_2d, with_layer_input
from tonnage.engines.llamacpp.compute.graph import Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.model.types import Attention

STREAMS, ACTIVE = 4, 0
"""n_altup and i_altup_act of src/llama-hparams.h, whatever the metadata say"""
SPARSE_LAYERS = 10
"""leading layers whose gates keep their greatest elements alone (n_layer_sparsity)"""


def build(net: Net) -> Graph:
    """The whole decoder. Every token runs through all layers."""
    cur, pos, inputs = net.inp_embd(scaled=True), net.inp_pos(), attn_inputs(net)
    per_layer = layer_inputs(net, cur)
    cur = _spread(net, cur)
    for il in net.blocks:
        cur = _layer(net, il, cur, pos, inputs, per_layer)
    cur = ops.get_rows(_gathered(net, cur), net.inp_out_ids())
    return net.graph(softcapped(head(net, cur)))


def _layer(net: Net, il: int, streams: Node, pos: Node, inputs: Inputs, per_layer: Node) -> Node:
    predictions = _predicted(net, il, streams)
    active = slice_2d(predictions, ACTIVE)
    cur = net.norm(active, net.need(il, "attn_norm"), il)
    laurel = _laurel(net, il, cur)
    cur = net.norm(_attention(net, il, cur, pos, inputs), net.need(il, "post_attention_norm"), il)
    both = ops.scale(ops.add(ops.add(cur, active), laurel))
    cur = _feed_forward(net, il, net.norm(both, net.need(il, "ffn_norm"), il))
    cur = ops.add(net.norm(cur, net.need(il, "post_ffw_norm")), both)
    corrected = _corrected(net, il, predictions, cur)
    first = ops.mul(slice_2d(corrected, ACTIVE), net.need(il, "altup_correct_scale"))
    first = with_layer_input(net, il, first, per_layer)
    return ops.concat(slice_2d(corrected, 0), ops.add(_others(corrected), first), 2)


def _attention(net: Net, il: int, cur: Node, pos: Node, inputs: Inputs) -> Node:
    """Late blocks read the cache of an earlier one."""
    mixer = next(m for m in net.model.layers[il].mixers if isinstance(m, Attention))
    q_norm = net.need(il, "attn_q_norm")
    if mixer.kv_layer is not None:
        q = ops.reshape(net.mm(net.need(il, "attn_q"), cur), mixer.k_dim, mixer.heads, net.n_tokens)
        q = ops.rope(net.norm(q, q_norm, il), pos)
        return attn(net, inputs.of(net, il), il, q, None, None, kv_layer=mixer.kv_layer)
    q, k, v = net.qkv(cur, il, mixer.k_dim)
    q, k = rotated(net.norm(q, q_norm, il), net.norm(k, net.need(il, "attn_k_norm"), il), pos)
    return attn(net, inputs.of(net, il), il, q, k, ops.rms_norm(v))


def _laurel(net: Net, il: int, cur: Node) -> Node:
    """A low-rank path beside the attention."""
    low = net.mm(net.need(il, "laurel_r"), net.mm(net.need(il, "laurel_l"), cur))
    return ops.add(net.norm(low, net.need(il, "laurel_post_norm"), il), cur)


def _feed_forward(net: Net, il: int, cur: Node) -> Node:
    up, gate = net.mm(net.need(il, "ffn_up"), cur), net.mm(net.need(il, "ffn_gate"), cur)
    gate = ops.unary(_greatest(gate) if il < SPARSE_LAYERS else gate, "gelu")
    return net.mm(net.need(il, "ffn_down"), ops.mul(up, gate))


def _greatest(cur: Node) -> Node:
    """Elements above a number of standard deviations, the rest 0 (gaussian_topk)."""
    mean = ops.mean(cur)
    deviation = ops.sqrt(ops.scale(ops.sum_rows(ops.sqr(ops.sub(cur, mean)))))
    return ops.unary(ops.sub(cur, ops.add(mean, ops.scale(deviation))), "relu")


# --- streams ----------------------------------------------------------------------------------------


def _others(streams: Node) -> Node:
    """All streams but the first."""
    row = ops.row_size(streams.type, streams.ne[0])
    plane = row * streams.ne[1]
    return ops.view_3d(streams, streams.ne[0], streams.ne[1], STREAMS - 1, row, plane, plane)


def _magnitude(cur: Node) -> Node:
    return ops.sqrt(ops.sum_rows(ops.sqr(cur)))


def _as_long_as(cur: Node, target: Node) -> Node:
    """Rows of `cur`, brought to a magnitude."""
    return ops.div(ops.mul(cur, target), _magnitude(cur))


def _spread(net: Net, cur: Node) -> Node:
    """The embedding, and what it is projected to for the other streams."""
    projection = net.weight("altup_proj.weight")
    assert projection is not None
    target = _magnitude(cur)
    added = ops.mul_mat(projection, ops.repeat_4d(cur, net.n_embd, net.n_tokens, STREAMS - 1, 1))
    return ops.concat(cur, _as_long_as(added, target), 2)


def _gathered(net: Net, streams: Node) -> Node:
    """The mean of all streams, the others projected back first."""
    projection = net.weight("altup_unembd_proj.weight")
    assert projection is not None
    target = _magnitude(slice_2d(streams, ACTIVE))
    others = _as_long_as(ops.mul_mat(projection, _others(streams)), target)
    cur = slice_2d(streams, 0)
    for i in range(STREAMS - 1):
        cur = ops.add(cur, slice_2d(others, i))
    return ops.scale(cur)


def _modalities(net: Net, il: int, cur: Node) -> Node:
    routed = ops.scale(net.norm(cur, net.need(il, "altup_router_norm"), il))
    return ops.unary(ops.mul_mat(net.need(il, "altup_router"), routed), "tanh")


def _predicted(net: Net, il: int, streams: Node) -> Node:
    """What each stream will be, from all of them."""
    coefficients = net.mm(net.need(il, "altup_predict_coef"), _modalities(net, il, slice_2d(streams, ACTIVE)))
    coefficients = ops.reshape(coefficients, STREAMS, STREAMS, net.n_tokens)
    predictions = ops.mul_mat(ops.cont(ops.permute(streams, 1, 2, 0, 3)), coefficients)
    return ops.add(ops.cont(ops.permute(predictions, 0, 2, 1, 3)), streams)


def _corrected(net: Net, il: int, predictions: Node, activated: Node) -> Node:
    """Predictions, corrected by what the layer made of the active stream."""
    n = net.n_tokens
    modalities = _modalities(net, il, activated)
    innovation = ops.sub(activated, slice_2d(predictions, ACTIVE))
    coefficients = ops.scale(net.mm(net.need(il, "altup_correct_coef"), modalities))
    coefficients = ops.cont(ops.transpose(coefficients), 1, n, STREAMS)
    spread = ops.repeat_4d(innovation, net.n_embd, n, STREAMS, 1)
    return ops.add(ops.mul(spread, coefficients), predictions)
