"""What several families' blocks have in common beyond what `Net` builds."""

from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.experts import GATING, moe
from tonnage.engines.llamacpp.compute.graph import OUTPUT, Node
from tonnage.engines.llamacpp.compute.net import Net

SIGMOID, SOFTMAX = 2, 1
"""expert_gating_func where the metadata name none: the loader's default is the architecture's"""


def wanted(net: Net, il: int, ids: Node, *nodes: Node) -> tuple[Node, ...]:
    """In the last layer the rows alone whose logits are wanted, else the nodes as they are."""
    return tuple(ops.get_rows(node, ids) for node in nodes) if il == net.n_layer - 1 else nodes


def qk_normed(net: Net, il: int, q: Node, k: Node, *, rms: bool = True) -> tuple[Node, Node]:
    """Queries and keys normalised, where the block has weights for it."""
    q_norm, k_norm = net.w(il, "attn_q_norm"), net.w(il, "attn_k_norm")
    return (q if q_norm is None else net.norm(q, q_norm, il, rms=rms)), (k if k_norm is None else net.norm(k, k_norm, il, rms=rms))


def rotated(q: Node, k: Node, pos: Node, factors: Node | None = None) -> tuple[Node, Node]:
    """Queries and keys turned by their positions."""
    return ops.rope(q, pos, factors), ops.rope(k, pos, factors)


def softcapped(cur: Node) -> Node:
    """Logits bounded: scaled down, tanh, scaled up again."""
    return ops.scale(ops.unary(ops.scale(cur), "tanh"))


def routed(net: Net, il: int, cur: Node, gating: int = SIGMOID, *, norm: bool | None = None, act: str = "swiglu") -> Node:
    """Experts whose weights are scored, normalised and scaled as the metadata say; `gating` and `norm` speak where they are silent."""
    scale = float(net.hp.get("expert_weights_scale") or 0.0)
    return moe(
        net,
        cur,
        il,
        gating=GATING[gating],
        norm=bool(net.hp.get("expert_weights_norm")) if norm is None else norm,
        scaled=scale not in (0.0, 1.0),
        act=act,
        bias=net.b(il, "exp_probs_b"),
        clamped=clamped(net, "swiglu_clamp_exp", il),
    )


def gating_of(net: Net, default: int = SIGMOID) -> int:
    """How experts are scored, as the metadata say, else the loader's default."""
    return int(net.hp.get("expert_gating_func") or default)


def with_shared(net: Net, il: int, cur: Node, experts: Node) -> Node:
    """The shared expert's output added to the routed ones', where there is one."""
    if net.w(il, "ffn_up_shexp") is None:
        return experts
    return ops.add(experts, net.ffn(cur, il, "_shexp"))


def clamped(net: Net, key: str, il: int) -> bool:
    """Whether a block bounds gate and up (swiglu_clamp_exp, swiglu_clamp_shexp)."""
    return key in net.hp and float(net.hp.per_layer(key, 0.0)[il]) > 1e-6


def head(net: Net, cur: Node, *, rms: bool = True) -> Node:
    """The final norm, marked as an output, and the head with its bias."""
    cur = net.norm(cur, net.weight("output_norm.weight"), bias=net.weight("output_norm.bias"), rms=rms)
    cur.flags |= OUTPUT
    return logits(net, cur)


def logits(net: Net, cur: Node) -> Node:
    """The head alone."""
    weight = net.weight("output.weight")
    assert weight is not None
    return net.mm(weight, cur, net.weight("output.bias"))
