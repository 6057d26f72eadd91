"""What CUDA's graph optimiser keeps alive, so that it can compute several operations as one.

Source: ggml_backend_cuda_graph_optimize and its matchers, ggml/src/ggml-cuda/ggml-cuda.cu of build 11434.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tonnage.engines.llamacpp.compute.graph import OUTPUT, Graph, Node, is_contiguous
from tonnage.quant.types import TYPES

FUSED_GLU = frozenset({"swiglu", "geglu", "swiglu_oai", "swiglu_clamp"})
GATES = frozenset({"SOFT_MAX", "UNARY"})
"""operations that a choice of experts begins with"""

_BEHIND_MUL = frozenset({"VIEW", "MUL"})
"""what follows the first multiplication of a weighted sum: a view of its result, or the other multiplication"""

GATING = frozenset({"sigmoid", "softplus"})
MOST_SUMMED_EXPERTS = 15
"""MOE_WEIGHTED_REDUCTION_MAX_EXPERTS"""

MOST_ROUTED_EXPERTS = 512
ODD_ROUTED_EXPERTS = (288, 576)
"""expert counts that are no power of two and yet have a kernel (topk-moe.cu)"""

Keep = dict[Node, list[Node]]


class Fusion:
    """The optimiser of one graph: it needs to know how often every tensor is used."""

    def __init__(self, graph: Graph) -> None:
        self.uses = Counter(source for node in graph.nodes for source in node.sources)

    def __call__(self, nodes: list[Node], after: Node | None = None) -> tuple[list[Node], Mapping[Node, Sequence[Node]]]:
        """The nodes of one split in their new order, and what is kept alive until which node.

        `after` is the first node of the next split: a choice of experts at the end of its split is kept until then.
        """
        keep: Keep = {}
        ordered = self._group_shared_experts(list(nodes), keep) if any(node.op == "MUL_MAT_ID" for node in nodes) else nodes
        i = 0
        while i < len(ordered):
            if ordered[i].op == "MUL":
                i += self._weighted_sum(ordered, i, keep)
            elif ordered[i].op in GATES:
                i += self._routing(ordered, i, keep, after)
            i += 1
        return ordered, keep

    # --- routed and shared experts side by side -------------------------------------------------

    def _group_shared_experts(self, nodes: list[Node], keep: Keep) -> list[Node]:
        """Move a shared expert's gate, up and GLU right behind those of the routed experts."""
        i = 0
        while i + 5 < len(nodes):
            j = self._shared_expert(nodes, i) if nodes[i].op == "MUL_MAT_ID" else None
            if j is not None:
                nodes[i + 3 : j + 3] = nodes[j : j + 3] + nodes[i + 3 : j]
                up = nodes[i + 2].sources[1]
                _add(keep, nodes[i + 5], (up.sources[1], up.sources[2]))
                i += 5
            i += 1
        return nodes

    def _shared_expert(self, nodes: list[Node], i: int) -> int | None:
        """Where the shared expert starts that belongs to the routed experts at `i`."""
        if [node.op for node in nodes[i : i + 3]] != ["MUL_MAT_ID", "MUL_MAT_ID", "GLU"]:
            return None
        for j in range(i + 3, len(nodes) - 2):
            if nodes[j].op == "MUL_MAT_ID" and nodes[j + 1].op == "MUL_MAT_ID":
                return None
            if nodes[j].op == "MUL_MAT" and nodes[j + 2].op == "GLU" and self._shares_input(nodes, i, j):
                return j
        return None

    def _shares_input(self, nodes: list[Node], i: int, j: int) -> bool:
        group = [*nodes[i : i + 3], *nodes[j : j + 3]]
        routed, shared = group[2], group[5]
        if [n.op for n in group] != ["MUL_MAT_ID", "MUL_MAT_ID", "GLU", "MUL_MAT", "MUL_MAT", "GLU"]:
            return False
        if not self._elidable(group, (routed, shared)) or not _gated_pair(routed, group[:2]) or not _gated_pair(shared, group[3:5]):
            return False
        weight, shared_weight = routed.sources[1].sources[0], shared.sources[1].sources[0]
        given = routed.sources[1].sources[1]
        return (
            TYPES[weight.type].elements > 1
            and weight.home is not None
            and given.op == "RESHAPE"
            and given.sources[0] is shared.sources[1].sources[1]
            and given.ne[1] == 1
            and given.ne[3] == 1
            and weight.type == shared_weight.type
            and weight.ne[:2] == shared_weight.ne[:2]
            and weight.nb[1] == shared_weight.nb[1]
            and shared_weight.op == "NONE"
            and routed.param == shared.param
        )

    # --- the weighted sum of the experts' outputs ------------------------------------------------

    def _weighted_sum(self, nodes: list[Node], i: int, keep: Keep) -> int:
        """Nodes to skip: those of the sum that starts at `i`."""
        found = self._match_sum(nodes, i)
        if not found:
            return 0
        kept, count = found
        _add(keep, nodes[i + count - 1], kept)
        return count - 1

    def _match_sum(self, nodes: list[Node], i: int) -> tuple[tuple[Node, ...], int] | None:
        first = nodes[i]
        if i + 1 == len(nodes) or nodes[i + 1].op not in _BEHIND_MUL or first.type != "f32" or not is_contiguous(first):
            return None
        weighted, muls = first, 1
        kept: tuple[Node, ...] | None = _full_and_weights(first)
        if nodes[i + 1].op == "MUL":
            second, inner = _full_and_weights(nodes[i + 1]), _full_and_weights(first)
            if second and inner and second[0] is first:
                weighted, kept, muls = nodes[i + 1], (inner[0], second[1], inner[1]), 2
        if not kept:
            return None
        used = weighted.ne[1]
        count = 2 * used + muls - 1
        group = nodes[i : i + count]
        if not 2 <= used <= MOST_SUMMED_EXPERTS or len(group) < count or not _sums_views(group[muls:], weighted):
            return None
        return (kept, count) if self._elidable(group, (group[-1],)) else None

    # --- the choice of experts ---------------------------------------------------------------------

    def _routing(self, nodes: list[Node], i: int, keep: Keep, after: Node | None) -> int:
        """Nodes to skip: those of the routing that starts at `i`."""
        count = self._match_routing(nodes, i)
        last = nodes[i + count] if i + count < len(nodes) else after
        if not count or last is None:
            return 0
        for node in nodes[i : i + count]:
            _add(keep, last, (node, *node.sources))
        return count - 1

    def _match_routing(self, nodes: list[Node], i: int) -> int:
        """How many nodes from `i` on are one choice of experts; 0 where they are none."""
        gate = nodes[i]
        if not (gate.op == "SOFT_MAX" or (gate.op == "UNARY" and gate.param in GATING)):
            return 0
        at = i + 1
        if gate.param == "softplus":
            if at == len(nodes) or nodes[at].op != "SQRT":
                return 0
            at += 1
        probs = nodes[at - 1]
        chain = _Chain(nodes, at)
        if not chain.take("RESHAPE", probs):
            return 0
        reshaped = nodes[at]
        scores = chain.last if chain.take("ADD", probs) else probs
        if not (chain.take("ARGSORT", scores) and chain.take("VIEW", chain.last)):
            return 0
        ids = chain.last
        if not chain.take("GET_ROWS", reshaped) or chain.last.sources[1] is not ids:
            return 0
        _take_norm(chain)
        chain.take("SCALE", chain.last)
        group = nodes[i : chain.at]
        kernel = _has_routing_kernel(ids) and is_contiguous(gate.sources[0]) and is_contiguous(group[-1])
        plain = gate.op != "SOFT_MAX" or (len(gate.sources) == 1 and not gate.param)
        return len(group) if kernel and plain and self._elidable(group, (ids, group[-1])) else 0

    def _elidable(self, group: Sequence[Node], outputs: Iterable[Node]) -> bool:
        """Whether no one outside the group needs what it does not put out (ggml_can_fuse_subgraph)."""
        inside, shown = set(group), set(outputs)
        within: dict[Node, int] = {}
        for node in group:
            for source in node.sources:
                within[source] = within.get(source, 0) + 1
        for node in group:
            if node in shown:
                continue
            if node.flags & OUTPUT or within.get(node, 0) != self.uses[node]:
                return False
            if node.view_of is not None and node.view_of not in inside and not node.view_of.weight:
                return False
        return True


class _Chain:
    """Reads nodes one by one, each of which must use the one it is asked to."""

    def __init__(self, nodes: list[Node], at: int) -> None:
        self.nodes = nodes
        self.at = at

    @property
    def last(self) -> Node:
        return self.nodes[self.at - 1]

    def take(self, op: str, source: Node) -> bool:
        """Step on where the next node is `op` of `source`."""
        found = self.at < len(self.nodes) and self.nodes[self.at].op == op and self.nodes[self.at].sources[0] is source
        self.at += found
        return found


def _take_norm(chain: _Chain) -> None:
    """Reshape, sum, clamp, divide, reshape: all of it or none."""
    start = chain.at
    whole = all(chain.take(op, chain.last) for op in ("RESHAPE", "SUM_ROWS", "CLAMP"))
    if whole and chain.take("DIV", chain.nodes[chain.at - 3]) and chain.take("RESHAPE", chain.last):
        return
    chain.at = start


def _has_routing_kernel(ids: Node) -> bool:
    n_expert = ids.nb[1] // ids.nb[0]
    return (n_expert & (n_expert - 1) == 0 and n_expert <= MOST_ROUTED_EXPERTS) or n_expert in ODD_ROUTED_EXPERTS


def _gated_pair(glu: Node, pair: Sequence[Node]) -> bool:
    """Whether a GLU joins exactly these two products of one input with alike weights."""
    if len(glu.sources) < 2 or {glu.sources[0], glu.sources[1]} != set(pair) or glu.param not in FUSED_GLU:
        return False
    gate, up = glu.sources[:2]
    a, b = gate.sources[0], up.sources[0]
    return (a.type, a.ne, a.nb) == (b.type, b.ne, b.nb) and gate.sources[1:] == up.sources[1:]


def _full_and_weights(mul: Node) -> tuple[Node, Node] | None:
    """The experts' outputs and the weights of a product of both, in either order."""
    if mul.type != "f32" or not is_contiguous(mul):
        return None
    for full, weights in (mul.sources[:2], mul.sources[1::-1]):
        if (
            full.type == weights.type == "f32"
            and full.ne == mul.ne
            and weights.ne == (1, *mul.ne[1:])
            and is_contiguous(full)
            and is_contiguous(weights)
        ):
            return full, weights
    return None


def _sums_views(group: Sequence[Node], weighted: Node) -> bool:
    """Whether the nodes view every expert's part of `weighted` in order and add them up one after the other."""
    views = [n for n in group if n.op == "VIEW"]
    adds = [n for n in group if n.op == "ADD"]
    if len(views) != weighted.ne[1] or len(views) + len(adds) != len(group):
        return False
    offsets = [n.view_offset for n in views]
    if any(n.view_of is not weighted for n in views) or offsets != [i * weighted.nb[1] for i in range(len(views))]:
        return False
    total = views[0]
    for add, view in zip(adds, views[1:], strict=True):
        if add.sources[0] is not total or add.sources[1] is not view:
            return False
        total = add
    return True


def _add(keep: Keep, until: Node, tensors: Iterable[Node]) -> None:
    kept = keep.setdefault(until, [])
    kept += [t for t in dict.fromkeys(tensors) if t not in kept]
