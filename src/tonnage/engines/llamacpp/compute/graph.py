"""An operation list as ggml builds it: what scheduler and allocator walk over.

Source: ggml/include/ggml.h, ggml/src/ggml.c of build 11434.
"""

from collections.abc import Sequence

from tonnage.quant.types import TYPES

INPUT = 1
OUTPUT = 2
COMPUTE = 16

PRECISE = "f32"
"""parameter of a product that is computed in F32"""
PRECISE_DOWN = frozenset({"mistral4"})
"""architectures whose activations may leave the range of F16: build_moe_ffn asks for GGML_PREC_F32, and CUDA leaves the
experts' last product to the CPU"""

Shape = tuple[int, int, int, int]


class Node:
    """One tensor of a graph: an operation's result, a view of one, an input, a weight or a cache.

    `ne` are its elements per dimension, `nb` the bytes from one to the next. `home` is the device of a
    tensor that is allocated before the graph (host: -1), None for what the graph itself allocates.
    """

    __slots__ = ("_nbytes", "flags", "home", "name", "nb", "ne", "op", "param", "sources", "type", "view_of", "view_offset", "weight")

    def __init__(
        self,
        op: str,
        name: str,
        type: str,
        ne: Shape,
        nb: Shape,
        sources: Sequence["Node"] = (),
        *,
        flags: int = 0,
        view_of: "Node | None" = None,
        view_offset: int = 0,
        home: int | None = None,
        weight: bool = False,
        param: str = "",
    ) -> None:
        self.op = op
        self.name = name
        self.type = type
        self.ne = ne
        self.nb = nb
        self.sources = list(sources)
        self.flags = flags
        self.view_of = view_of
        self.view_offset = view_offset
        self.home = home
        self.weight = weight
        self.param = param
        self._nbytes = -1

    @property
    def nbytes(self) -> int:
        """Bytes from the first to the last element (ggml_nbytes)."""
        if self._nbytes < 0:
            self._nbytes = nbytes_of(self.type, self.ne, self.nb)
        return self._nbytes

    @property
    def root(self) -> "Node":
        """The tensor whose memory this one uses."""
        return self.view_of or self

    def __repr__(self) -> str:
        return f"<{self.op} {self.name} {self.type} {self.ne}>"


def nbytes_of(type_: str, ne: Shape, nb: Shape) -> int:
    """Bytes from the first to the last element (ggml_nbytes); 0 where a dimension is empty."""
    if 0 in ne:
        return 0
    block = TYPES[type_]
    spread = (ne[1] - 1) * nb[1] + (ne[2] - 1) * nb[2] + (ne[3] - 1) * nb[3]
    if block.elements == 1:
        return block.nbytes + (ne[0] - 1) * nb[0] + spread
    return ne[0] * nb[0] // block.elements + spread


class Graph:
    """Leafs and nodes in the engine's order. `pinned` are nodes whose device the graph's builder chose."""

    __slots__ = ("leafs", "nodes", "pinned")

    def __init__(self, leafs: list[Node], nodes: list[Node], pinned: dict[Node, int] | None = None) -> None:
        self.leafs = leafs
        self.nodes = nodes
        self.pinned = pinned or {}


def is_contiguous(node: Node) -> bool:
    """Whether the elements lie one behind the other (ggml_is_contiguous)."""
    block = TYPES[node.type]
    expected = block.nbytes
    if node.ne[0] != block.elements and node.nb[0] != expected:
        return False
    expected = expected * node.ne[0] // block.elements
    for n, stride in zip(node.ne[1:], node.nb[1:], strict=True):
        if n != 1:
            if stride != expected:
                return False
            expected *= n
    return True
