"""Past one machine: the same GPUs in several hosts, over llama.cpp's RPC.

The devices of the other hosts come first in the engine's order (src/llama.cpp of build 11434), each
`rpc-server` lends all of its host's GPUs. They are taken to allocate as CUDA devices do.
"""

from typing import NamedTuple

from tonnage.engines.llamacpp.plan import Planned, plan
from tonnage.frozen import replace
from tonnage.model.types import Attached, Model
from tonnage.question import Question

MOST_NODES, PORT = 8, 50052


class Cluster(NamedTuple):
    """A plan over `nodes` hosts that are alike."""

    nodes: int
    planned: Planned
    servers: str
    """what runs on every host but the first"""
    command: str
    """what runs on the first"""


def cluster(question: Question, model: Model, attached: Attached) -> Cluster | None:
    """The fewest hosts with the question's devices and memory that hold it; None where eight do not."""
    for nodes in range(2, MOST_NODES + 1):
        planned = plan(_times(question, nodes), model, attached, within_block=True)
        if planned:
            others = ",".join(f"node{i}:{PORT}" for i in range(1, nodes))
            command = f"{planned.checked.estimate.command['llama.cpp']} --rpc {others}"
            return Cluster(nodes, planned, f"rpc-server -H 0.0.0.0 -p {PORT}", command)
    return None


def _times(question: Question, nodes: int) -> Question:
    in_use = question.in_use if question.in_use is None or len(question.in_use) == 1 else question.in_use * nodes
    return replace(question, device=(question.device or ()) * nodes, in_use=in_use)
