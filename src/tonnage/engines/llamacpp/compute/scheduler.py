"""Which device runs which operation, and what is copied between devices for it.

Source: ggml/src/ggml-backend.cpp of build 11434 (ggml_backend_sched_split_graph). Backends are
numbered as there: the GPUs in order, the CPU last.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from tonnage.engines.llamacpp.compute.allocator import Step, buffer_sizes
from tonnage.engines.llamacpp.compute.backends import cpu_size, cuda_size, gpu_supports, offloads
from tonnage.engines.llamacpp.compute.graph import INPUT, OUTPUT, Graph, Node

VIEWS = frozenset({"VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"})
COPIES = 4
"""copies of inputs with pipeline parallelism (GGML_SCHED_MAX_COPIES)"""

_NO_WEIGHT = frozenset({"ROPE", "FLASH_ATTN_EXT"})
"""operations whose weights are too small to decide where they run"""

Dependencies = Mapping[Node, Sequence[Node]]
"""node -> tensors that must stay allocated until it is computed"""
Optimiser = Callable[[list[Node], Node | None], tuple[list[Node], Dependencies]]
"""a split's nodes and the first node behind them -> their new order, and what must outlive which node"""


class Split(NamedTuple):
    """Nodes that run on one backend without interruption, and the foreign tensors they need."""

    backend: int
    nodes: list[Node]
    inputs: list[Node]


class Machine(NamedTuple):
    """What the scheduler runs on."""

    gpus: int
    op_offload: bool = True
    pipeline: bool = False


class Schedule:
    """Backends of all tensors and the splits of a graph."""

    def __init__(self, graph: Graph, machine: Machine, *, keep_pinned: bool = True) -> None:
        self.graph = graph
        self.machine = machine
        self.cpu = machine.gpus
        self.copies = COPIES if machine.pipeline else 1
        self.backend: dict[Node, int] = dict(graph.pinned) if keep_pinned else {}
        self.copied: dict[tuple[Node, int], list[Node]] = {}
        self.replaced: dict[Node, list[Node]] = {}
        self._assign()
        self.splits = self._split()

    # --- passes 1 to 4: a backend for everything -----------------------------------------------

    def _assign(self) -> None:
        backend = self.backend
        for tensor in (*self.graph.leafs, *self.graph.nodes):
            if tensor not in backend:
                found = self._by_memory(tensor)
                if found is not None:
                    backend[tensor] = found
        work = [node for node in self.graph.nodes if node.op not in VIEWS]
        for nodes, gpus_only in ((work, True), (work[::-1], True), (work, False), (work[::-1], False)):
            self._spread(nodes, gpus_only)
        for node in work:
            if node not in self.backend:
                self.backend[node] = self._most_sources(node)
        for node in self.graph.nodes:
            self._complete(node)

    def _by_memory(self, tensor: Node) -> int | None:
        """Where memory that is fixed already puts the tensor."""
        home = (tensor.view_of or tensor).home
        if home is not None:
            return self._on_home(tensor, home)
        if tensor.flags & INPUT:
            return self.cpu
        if tensor.op in _NO_WEIGHT:
            return None
        for weight in tensor.sources:
            if weight.weight and weight.home is not None:
                return self._beside(tensor, weight.home)
        return None

    def _beside(self, tensor: Node, home: int) -> int | None:
        """Where an operation runs whose weight lies at `home`."""
        if home < 0 and self.machine.op_offload and offloads(tensor):
            gpu = next((g for g in range(self.machine.gpus) if gpu_supports(tensor, g)), None)
            if gpu is not None:
                return gpu
        return self._on_home(tensor, home)

    def _on_home(self, tensor: Node, home: int) -> int | None:
        if home < 0:
            return self.cpu
        return home if tensor.op == "NONE" or gpu_supports(tensor, home) else None

    def _spread(self, nodes: Iterable[Node], gpus_only: bool) -> None:
        """Give nodes without a backend the one of their neighbour before."""
        current: int | None = None
        known = self.backend.get
        for node in nodes:
            found = known(node)
            if found is not None:
                current = None if gpus_only and found == self.cpu else found
            elif current is not None and self._supports(node, current):
                self.backend[node] = current

    def _supports(self, node: Node, backend: int) -> bool:
        return backend == self.cpu or gpu_supports(node, backend)

    def _most_sources(self, node: Node) -> int:
        """The backend that can reach most of the node's sources, the first of equals."""
        best, most = self.cpu, -1
        for backend in range(self.cpu + 1):
            if self._supports(node, backend):
                reached = sum(self._known(s) and self._reaches(s, backend) for s in node.sources)
                if reached > most:
                    best, most = backend, reached
        return best

    def _known(self, tensor: Node) -> bool:
        return tensor in self.backend or tensor.view_of in self.backend

    def _complete(self, node: Node) -> None:
        """Views follow what they view, other sources their user."""
        if node not in self.backend and node.view_of is not None and node.view_of in self.backend:
            self.backend[node] = self.backend[node.view_of]
        for source in node.sources:
            if source not in self.backend:
                follows = source.view_of if source.view_of is not None else node
                if follows in self.backend:
                    self.backend[source] = self.backend[follows]
        if node not in self.backend:
            self.backend[node] = next(b for b in range(self.cpu + 1) if self._supports(node, b))

    def _reaches(self, tensor: Node, backend: int) -> bool:
        """Whether a backend can use the tensor where it lies."""
        home = tensor.root.home
        if home is None:
            return self.backend.get(tensor, self.backend.get(tensor.root)) == backend
        return backend == (self.cpu if home < 0 else home)

    # --- pass 5: splits and copies ----------------------------------------------------------------

    def _split(self) -> list[Split]:
        splits: list[Split] = []
        pending: list[Node] = []
        for node in self.graph.nodes:
            if node.op in VIEWS:
                (splits[-1].nodes if splits else pending).append(node)
                continue
            backend = self.backend[node]
            if not splits or backend != splits[-1].backend or self._needs_split(node, splits[-1]):
                splits.append(Split(backend, pending, []))
                pending = []
            splits[-1].nodes.append(node)
            self._bring_sources(node, splits[-1])
        return splits

    def _needs_split(self, node: Node, split: Split) -> bool:
        """A new foreign weight starts a new split, so that the memory of the last one can be used again."""
        if split.inputs:
            for source in node.sources:
                if source.weight and source.home is not None and self._is_foreign(source, split.backend):
                    return True
        return False

    def _is_foreign(self, tensor: Node, backend: int) -> bool:
        return self.backend[tensor] != backend and not self._reaches(tensor, backend)

    def _bring_sources(self, node: Node, split: Split) -> None:
        """Replace every foreign source of the node by its copy on the split's device."""
        for i, source in enumerate(node.sources):
            if not self._is_foreign(source, split.backend):
                continue
            copies = self.copied.get((source, split.backend))
            if copies is None:
                copies = self.copied[source, split.backend] = [self._copy(source) for _ in range(self.copies)]
                split.inputs.append(source)
            self.replaced.setdefault(node, list(node.sources))[i] = copies[0]

    def _copy(self, source: Node) -> Node:
        flags = INPUT | OUTPUT if self.copies > 1 else 0
        return Node("NONE", f"copy of {source.name}", source.type, source.ne, source.nb, flags=flags)


def compute_sizes(graph: Graph, machine: Machine, optimise: Optimiser, *, as_fit_sees_it: bool = False) -> list[int]:
    """Bytes of every GPU's compute buffer, and of the host's last.

    `as_fit_sees_it` forgets the devices that the graph's builder chose, as `--fit` does.
    """
    schedule = Schedule(graph, machine, keep_pinned=not as_fit_sees_it)
    leafs, nodes = _steps(schedule, optimise)
    sizes = [cuda_size] * machine.gpus + [cpu_size]
    alignments = [128] * machine.gpus + [32]
    return buffer_sizes(leafs, nodes, alignments, lambda node, buffer: sizes[buffer](node))


def _steps(schedule: Schedule, optimise: Optimiser) -> tuple[list[Step], list[Step]]:
    """The graph as the allocator gets it: with copies, and what must outlive its last use."""
    for node, sources in schedule.replaced.items():
        node.sources = sources
    keep: dict[Node, list[Node]] = {}
    ordered = [_optimised(schedule, i, optimise, keep) for i in range(len(schedule.splits))]
    nodes: list[Step] = []
    for split, split_nodes in zip(schedule.splits, ordered, strict=True):
        for tensor in split.inputs:
            nodes.append((_dependency((tensor,)), schedule.backend[tensor]))
            nodes.append((schedule.copied[tensor, split.backend][0], split.backend))
        for node in split_nodes:
            nodes.append((node, schedule.backend[node]))
            if node in keep:
                nodes.append((_dependency(keep[node]), split.backend))
    return _leafs(schedule), nodes


def _optimised(schedule: Schedule, i: int, optimise: Optimiser, keep: dict[Node, list[Node]]) -> list[Node]:
    """The nodes of a split in the order that its backend wants; what they keep alive is added to `keep`."""
    backend, nodes, _ = schedule.splits[i]
    if backend == schedule.cpu:
        return nodes
    after = schedule.splits[i + 1].nodes[0] if i + 1 < len(schedule.splits) else None
    ordered, found = optimise(nodes, after)
    for until, tensors in found.items():
        kept = keep.setdefault(until, [])
        kept += [t for t in tensors if t not in kept]
    return ordered


def _dependency(tensors: Sequence[Node]) -> Node:
    """A node that does nothing but use the tensors."""
    first = tensors[0]
    return Node("NONE", f"needs {first.name}", first.type, first.ne, first.nb, tensors, view_of=first.root)


def _leafs(schedule: Schedule) -> list[Step]:
    leafs: list[Step] = []
    if schedule.copies > 1:
        inputs = [leaf for leaf in schedule.graph.leafs if leaf.flags & INPUT]
        for leaf in inputs:
            backend = schedule.backend[leaf]
            leafs += [(leaf, backend), *((schedule._copy(leaf), backend) for _ in range(schedule.copies - 1))]
        for split in schedule.splits:
            for tensor in split.inputs:
                leafs += [(copy, split.backend) for copy in schedule.copied[tensor, split.backend]]
    return leafs + [(leaf, schedule.backend[leaf]) for leaf in schedule.graph.leafs if leaf in schedule.backend]
