"""The engine's own operation lists (tests/data/graphs), as graphs of ours."""

import gzip
import json
from functools import cache
from typing import Any

from oracle import DATA
from tonnage.engines.llamacpp.compute.graph import Graph, Node

FOLDER = DATA / "graphs"
NAMES = sorted(path.name.removesuffix("-server1-32768.json.gz") for path in FOLDER.glob("*.gz"))


@cache
def load(name: str) -> dict[str, Any]:
    """The file of a model; not to be changed by those who read it."""
    data: dict[str, Any] = json.loads(gzip.decompress((FOLDER / f"{name}-server1-32768.json.gz").read_bytes()))
    return data


def engine_graph(name: str) -> tuple[Graph, list[Node]]:
    """The engine's graph, made anew, and all tensors in the file's order."""
    data = load(name)
    rows = data["tensors"]
    nodes = [_node(row, name) for row in rows]
    for node, row in zip(nodes, rows, strict=True):
        node.sources = [nodes[i] for i in row[10]]
        node.view_of = nodes[row[7]] if row[7] >= 0 else None
    return Graph([nodes[i] for i in data["leafs"]], [nodes[i] for i in data["nodes"]]), nodes


def _node(row: list[Any], model: str) -> Node:
    op, name, type_, ne, nb, _, flags, _, offset, buffer, _ = row
    home = None if buffer is None else -1 if "Host" in buffer else int(buffer.removeprefix("CUDA"))
    weight = buffer is not None and not name.startswith("cache_")
    return Node(op, name, type_, tuple(ne), tuple(nb), flags=flags, view_offset=offset, home=home, weight=weight, param=_param(op, name, model))


def _param(op: str, name: str, model: str) -> str:
    """What the files do not say: which unary function and which gate an operation is."""
    if op == "GLU":
        return "swiglu_oai" if model.startswith("gpt-oss") else "swiglu"
    return "sigmoid" if op == "UNARY" and "ffn_moe_probs" in name else ""
