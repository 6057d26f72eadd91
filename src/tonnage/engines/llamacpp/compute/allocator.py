"""Where every tensor of a graph lies: the best-fit walk that decides a compute buffer's size.

Source: ggml/src/ggml-alloc.c of build 11434 (ggml_dyn_tallocr, ggml_gallocr_alloc_graph_impl).
"""

from collections.abc import Callable, Sequence

from tonnage.engines.llamacpp.compute.graph import INPUT, OUTPUT, Node
from tonnage.units import pad

IN_PLACE = frozenset({
    "FILL", "SCALE", "DIAG_MASK_ZERO", "DIAG_MASK_INF", "ADD", "ADD_ID", "ADD1", "SUB", "MUL", "DIV", "SQR", "SQRT", "LOG", "UNARY", "ROPE",
    "ROPE_BACK", "SILU_BACK", "RMS_NORM", "RMS_NORM_BACK", "CLAMP", "SOFT_MAX", "SOFT_MAX_BACK",
})  # fmt: skip
"""operations that may write over a source of the same layout (ggml_op_can_inplace)"""

_ENDLESS = 1 << 62

Step = tuple[Node, int]
"""a node and the buffer that it is to be allocated in"""


class Arena:
    """One growing buffer with a list of free blocks, sorted by offset; the last one has no end."""

    __slots__ = ("alignment", "offsets", "peak", "sizes")

    def __init__(self, alignment: int) -> None:
        self.alignment = alignment
        self.offsets = [0]
        self.sizes = [_ENDLESS]
        self.peak = 0

    def take(self, nbytes: int) -> int:
        """Offset of a block for `nbytes`: the smallest that fits, the later one of equals, else the end."""
        size = pad(nbytes, self.alignment)
        sizes = self.sizes
        best, best_size = len(sizes) - 1, _ENDLESS
        for i in range(len(sizes) - 1):
            if size <= sizes[i] <= best_size:
                best, best_size = i, sizes[i]
        offset = self.offsets[best]
        self.offsets[best] += size
        sizes[best] -= size
        if sizes[best] == 0:
            del self.offsets[best], sizes[best]
        self.peak = max(self.peak, offset + size)
        return offset

    def give(self, offset: int, nbytes: int) -> None:
        """Return a block, merged with the free ones beside it."""
        size = pad(nbytes, self.alignment)
        offsets, sizes = self.offsets, self.sizes
        end = offset + size
        for i, start in enumerate(offsets):
            if start + sizes[i] == offset:
                sizes[i] += size
                if i + 1 < len(offsets) and start + sizes[i] == offsets[i + 1]:
                    sizes[i] += sizes[i + 1]
                    del offsets[i + 1], sizes[i + 1]
                return
            if end == start:
                offsets[i] = offset
                sizes[i] += size
                if i and offsets[i - 1] + sizes[i - 1] == offset:
                    sizes[i - 1] += sizes[i]
                    del offsets[i], sizes[i]
                return
        i = next((i for i, start in enumerate(offsets) if start >= offset), len(offsets))
        offsets.insert(i, offset)
        sizes.insert(i, size)


class _Walk:
    """The state of one walk: uses and views that are left of each tensor, and where it lies."""

    def __init__(self, alignments: Sequence[int], size_in: Callable[[Node, int], int]) -> None:
        self.arenas = [Arena(alignment) for alignment in alignments]
        self.size_in = size_in
        self.children: dict[Node, int] = {}
        self.views: dict[Node, int] = {}
        self.place: dict[Node, tuple[int, int, int]] = {}
        """(buffer, offset, bytes) of what is allocated now, and of the graph's outputs for good"""

    def allocate(self, node: Node, buffer: int) -> None:
        if node.home is not None or node.view_of is not None or node in self.place:
            return
        if node.op not in IN_PLACE or not self._reuse(node):
            size = self.size_in(node, buffer)
            self.place[node] = buffer, self.arenas[buffer].take(size), size

    def _reuse(self, node: Node) -> bool:
        """Take over a source's memory, where nothing else needs it."""
        for parent in node.sources:
            # views have no place: only a tensor with memory of its own is taken over
            if parent not in self.place or parent.flags & OUTPUT or not _same_layout(node, parent):
                continue
            if self.children.get(parent, 0) != 1 or self.views.get(parent, 0):
                continue
            self._take_over(node, parent)
            return True
        return False

    def _take_over(self, node: Node, parent: Node) -> None:
        buffer, offset, before = self.place.pop(parent)
        after = self.size_in(node, buffer)
        self.place[node] = buffer, offset, after
        arena = self.arenas[buffer]
        kept = pad(after, arena.alignment)
        if pad(before, arena.alignment) > kept:
            arena.give(offset + kept, pad(before, arena.alignment) - kept)

    def used(self, parent: Node) -> None:
        """One use of `parent` is over; free it, or what it views, after the last."""
        left = self.children[parent] = self.children[parent] - 1
        if left or self.views.get(parent):
            return
        root = parent.view_of
        if root is None:
            self._release(parent)
            return
        left = self.views[root] = self.views.get(root, 0) - 1
        if not left and not self.children.get(root):
            self._release(root)

    def _release(self, node: Node) -> None:
        if node.flags & OUTPUT or node not in self.place:
            return
        buffer, offset, size = self.place.pop(node)
        self.arenas[buffer].give(offset, size)


def _same_layout(a: Node, b: Node) -> bool:
    return a.type == b.type and a.ne == b.ne and a.nb == b.nb


def buffer_sizes(leafs: Sequence[Step], nodes: Sequence[Step], alignments: Sequence[int], size_in: Callable[[Node, int], int]) -> list[int]:
    """Bytes of each buffer that the graph needs; `size_in` tells a tensor's bytes in a buffer."""
    walk = _Walk(alignments, size_in)
    for leaf, buffer in leafs:
        walk.allocate(leaf, buffer)
    # what lies in memory already, weights and caches, needs no counting
    own = [[s for s in node.sources if (s.view_of or s).home is None] for node, _ in nodes]
    _count(walk, nodes, own)
    place, allocate, used = walk.place, walk.allocate, walk.used
    for (node, buffer), sources in zip(nodes, own, strict=True):
        for source in sources:
            if source not in place and source.view_of is None:
                allocate(source, buffer)
        if node.view_of is None:
            allocate(node, buffer)
        for source in sources:
            used(source)
    return [arena.peak for arena in walk.arenas]


def _count(walk: _Walk, nodes: Sequence[Step], own: Sequence[Sequence[Node]]) -> None:
    """Count views and uses of every tensor; inputs are allocated before all else."""
    children, views = walk.children, walk.views
    for (node, buffer), sources in zip(nodes, own, strict=True):
        root = node.view_of
        if root is not None and node.op != "NONE":
            views[root] = views.get(root, 0) + 1
        if node.flags & INPUT:
            walk.allocate(node, buffer)
        for source in sources:
            children[source] = children.get(source, 0) + 1
            if source.flags & INPUT:
                walk.allocate(source, buffer)
