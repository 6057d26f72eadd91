"""Gemma 4: heads of two sizes, shared caches, experts beside the dense part, an input of its own for every layer (src/models/gemma4.cpp)."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.attention import Inputs, attn, attn_inputs
from tonnage.engines.llamacpp.compute.blocks import logits, softcapped
from tonnage.engines.llamacpp.compute.experts import moe
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.model.types import Attention


def build(net: Net) -> Graph:
    """The whole decoder. Every token runs through the last layer and its norm."""
    cur, pos, inputs, out_ids = net.inp_embd(scaled=True), net.inp_pos(), attn_inputs(net), net.inp_out_ids()
    per_layer = layer_inputs(net, cur) if net.weight("per_layer_token_embd.weight") is not None else None
    for il in net.blocks:
        attn_out = _attention_block(net, il, cur, pos, inputs)
        cur = ops.add(net.norm(_feed_forward(net, il, attn_out), net.need(il, "post_ffw_norm")), attn_out)
        if per_layer is not None:
            cur = ops.add(cur, with_layer_input(net, il, cur, per_layer))
        scale = net.w(il, "layer_output_scale")
        cur = cur if scale is None else ops.mul(cur, scale)
    cur = net.norm(cur, net.weight("output_norm.weight"))
    cur.flags |= OUTPUT
    cur = ops.get_rows(cur, out_ids)
    cur.flags |= OUTPUT
    cur = logits(net, cur)
    return net.graph(softcapped(cur) if net.hp.get("final_logit_softcapping", True) else cur)


# --- inputs of every layer (Gemma 3n too) -----------------------------------------------------------


def layer_inputs(net: Net, cur: Node) -> Node:
    """Each token's rows for all layers, and what is made of its embedding, added: one slice a layer."""
    table, projection = net.weight("per_layer_token_embd.weight"), net.weight("per_layer_model_proj.weight")
    assert table is not None
    assert projection is not None
    n, layers = net.n_tokens, net.n_layer
    width = table.ne[0] // layers
    rows = ops.get_rows(table, net.input("inp_tokens", "i32", n))
    rows = net.expand(ops.scale(ops.reshape(rows, width, layers, n)))
    projected = ops.reshape(ops.scale(ops.mul_mat(projection, cur)), width, layers, n)
    projected = net.norm(projected, net.weight("per_layer_proj_norm.weight"))
    both = ops.scale(ops.add(projected, rows))
    return ops.cont(ops.permute(both, 0, 2, 1, 3))


def slice_2d(cur: Node, i: int) -> Node:
    """Plane `i` of three dimensions."""
    row = ops.row_size(cur.type, cur.ne[0])
    return ops.view_2d(cur, cur.ne[0], cur.ne[1], row, i * row * cur.ne[1])


def with_layer_input(net: Net, il: int, cur: Node, per_layer: Node) -> Node:
    """A gate on the layer's own input, projected and normalised."""
    gate = ops.unary(net.mm(net.need(il, "inp_gate"), cur), "gelu")
    cur = net.mm(net.need(il, "proj"), ops.mul(gate, slice_2d(per_layer, il)))
    return net.norm(cur, net.need(il, "post_norm"), il)


# --- attention --------------------------------------------------------------------------------------


def _attention_block(net: Net, il: int, cur: Node, pos: Node, inputs: Inputs) -> Node:
    residual = cur
    cur = net.norm(cur, net.need(il, "attn_norm"), il)
    mixer = next(m for m in net.model.layers[il].mixers if isinstance(m, Attention))
    factors = None if mixer.window else net.rotation(il)
    q, k, v = _projected(net, il, cur, mixer)
    q = ops.rope(net.norm(_heads(net, q, mixer.k_dim), net.need(il, "attn_q_norm"), il), pos, factors)
    if mixer.kv_layer is None:
        k, v = _heads(net, k, mixer.k_dim), _heads(net, v, mixer.k_dim)
        k, v = ops.rope(net.norm(k, net.need(il, "attn_k_norm"), il), pos, factors), ops.rms_norm(v)
        cur = attn(net, inputs.of(net, il), il, q, k, v)
    else:
        cur = attn(net, inputs.of(net, il), il, q, None, None, kv_layer=mixer.kv_layer)
    return ops.add(net.norm(cur, net.need(il, "post_attention_norm"), il), residual)


def _heads(net: Net, cur: Node, dim: int) -> Node:
    return ops.reshape(cur, dim, cur.ne[0] // dim, net.n_tokens)


def _projected(net: Net, il: int, cur: Node, mixer: Attention) -> tuple[Node, Node, Node]:
    """Queries, keys and values, as yet flat; blocks without a weight for values take the keys."""
    fused = net.w(il, "attn_qkv")
    if fused is not None:
        return _cut(net, net.mm(fused, cur, scale=net.s(il, "attn_qkv")), mixer)
    q = net.mm(net.need(il, "attn_q"), cur, scale=net.s(il, "attn_q"))
    if mixer.kv_layer is not None:
        return q, q, q
    k = net.mm(net.need(il, "attn_k"), cur, scale=net.s(il, "attn_k"))
    v = net.w(il, "attn_v")
    return q, k, k if v is None else net.mm(v, cur, scale=net.s(il, "attn_v"))


def _cut(net: Net, qkv: Node, mixer: Attention) -> tuple[Node, Node, Node]:
    """The three parts of a fused product, copied out."""
    q_dim, kv_dim = mixer.k_dim * mixer.heads, mixer.k_dim * mixer.kv_heads

    def part(width: int, start: int) -> Node:
        return ops.cont(ops.view_2d(qkv, width, net.n_tokens, qkv.nb[1], 4 * start))

    return part(q_dim, 0), part(kv_dim, q_dim), part(kv_dim, q_dim + kv_dim)


# --- feed-forward -----------------------------------------------------------------------------------


def _feed_forward(net: Net, il: int, attn_out: Node) -> Node:
    """Dense, or a dense part and routed experts side by side, each normalised on both sides."""
    dense = net.ffn(net.norm(attn_out, net.need(il, "ffn_norm"), il), il, act="geglu")
    if net.w(il, "ffn_gate_inp") is None:
        return dense
    dense = net.norm(dense, net.need(il, "post_ffw_norm_1"), il)
    cur = net.norm(attn_out, net.need(il, "pre_ffw_norm_2"), il)
    experts = moe(net, cur, il, act="geglu", logits=_router(net, il, attn_out))
    return ops.add(dense, net.norm(experts, net.need(il, "post_ffw_norm_2"), il))


def _router(net: Net, il: int, attn_out: Node) -> Node:
    """Scores of the experts, from the attention's result normalised on its own."""
    scale = net.s(il, "ffn_gate_inp")
    assert scale is not None
    return net.mm(net.need(il, "ffn_gate_inp"), ops.mul(ops.scale(ops.rms_norm(attn_out)), scale))
