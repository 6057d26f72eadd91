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
        self.place: dict[Node, tuple[int, int]] = {}
        """(buffer, offset) of what was allocated once"""
        self.owned: set[Node] = set()
        """what is allocated now"""

    def allocate(self, node: Node, buffer: int) -> None:
        if node.home is not None or node in self.owned or node.view_of is not None:
            return
        self.owned.add(node)
        if node.op in IN_PLACE and self._reuse(node):
            return
        self.place[node] = buffer, self.arenas[buffer].take(self.size_in(node, buffer))

    def _reuse(self, node: Node) -> bool:
        """Take over a source's memory, where nothing else needs it."""
        for parent in node.sources:
            # views are never owned: only a tensor with memory of its own is taken over
            if parent not in self.owned or parent.flags & OUTPUT or not _same_layout(node, parent):
                continue
            if self.children.get(parent, 0) != 1 or self.views.get(parent, 0):
                continue
            self._take_over(node, parent)
            return True
        return False

    def _take_over(self, node: Node, parent: Node) -> None:
        buffer, offset = self.place[node] = self.place[parent]
        self.owned.discard(parent)
        arena = self.arenas[buffer]
        before = pad(self.size_in(parent, buffer), arena.alignment)
        after = pad(self.size_in(node, buffer), arena.alignment)
        if before > after:
            arena.give(offset + after, before - after)

    def release(self, node: Node) -> None:
        if node.flags & OUTPUT:
            return
        buffer, offset = self.place[node]
        self.arenas[buffer].give(offset, self.size_in(node, buffer))
        self.owned.discard(node)

    def used(self, parent: Node) -> None:
        """One use of `parent` is over; free it, or what it views, after the last."""
        left = self.children[parent] = self.children.get(parent, 0) - 1
        if left or self.views.get(parent, 0):
            return
        root = parent.view_of
        if root is None:
            if parent in self.owned:
                self.release(parent)
            return
        self.views[root] = self.views.get(root, 0) - 1
        if not self.views[root] and not self.children.get(root, 0) and root in self.owned:
            self.release(root)


def _same_layout(a: Node, b: Node) -> bool:
    return a.type == b.type and a.ne == b.ne and a.nb == b.nb


def buffer_sizes(leafs: Sequence[Step], nodes: Sequence[Step], alignments: Sequence[int], size_in: Callable[[Node, int], int]) -> list[int]:
    """Bytes of each buffer that the graph needs; `size_in` tells a tensor's bytes in a buffer."""
    walk = _Walk(alignments, size_in)
    for leaf, buffer in leafs:
        walk.allocate(leaf, buffer)
    for node, buffer in nodes:
        if node.view_of is not None and node.op != "NONE":
            walk.views[node.view_of] = walk.views.get(node.view_of, 0) + 1
        if node.flags & INPUT:
            walk.allocate(node, buffer)
        for source in node.sources:
            walk.children[source] = walk.children.get(source, 0) + 1
            if source.flags & INPUT:
                walk.allocate(source, buffer)
    for node, buffer in nodes:
        for source in node.sources:
            walk.allocate(source, buffer)
        walk.allocate(node, buffer)
        for source in node.sources:
            walk.used(source)
    return [arena.peak for arena in walk.arenas]
