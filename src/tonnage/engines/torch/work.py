"""What engines of ranks do for one token: the stages of a pipeline one after another, the ranks of each at the same time."""

from collections.abc import Callable
from typing import NamedTuple

from tonnage.engines.torch.ranks import Ranks
from tonnage.engines.torch.reads import blocks_of, cache_reads, draft_reads, reads_per_stage
from tonnage.engines.torch.storage import Storage
from tonnage.model.active import attention_widths, expert_share
from tonnage.model.types import Model, Recurrent
from tonnage.question import Question
from tonnage.work import Attention, Draft, Place, Work


class Runs(NamedTuple):
    """How an engine of ranks runs a model."""

    engine: str
    storage: Storage
    ranks: Ranks
    users: int
    kv_bits: float
    """of a cached element"""
    ubatch: int
    """tokens of a prompt that are computed together"""
    state: Callable[[Recurrent], int]
    """bytes of a recurrent layer's state on one rank"""
    file_bytes: int
    drafted: int = 0
    mtp: bool = False
    looks_up: bool = False
    """tokens are drafted by looking them up in the text before"""


def work_of(question: Question, model: Model, runs: Runs) -> Work:
    """The work of a token at the question's depth, on one replica."""
    depth, ranks = question.depth or 0, runs.ranks
    reads = reads_per_stage(model, runs.storage, ranks)
    places = []
    for i, (blocks, read) in enumerate(zip(blocks_of(model, ranks), reads, strict=True)):
        kv, state = cache_reads(model, blocks, ranks.tp, runs.kv_bits, depth, runs.state)
        places.append(Place(i * ranks.tp, read.dense, read.experts, kv, state, len(blocks), read.parameters, read.stored, ranks.tp))
    return Work(
        places=tuple(places),
        depth=depth,
        expert_share=expert_share(model),
        attention=tuple(Attention(width / ranks.tp, window) for width, window in attention_widths(model)),
        is_f16=runs.storage.scheme is None,
        ubatch=runs.ubatch,
        file_bytes=runs.file_bytes,
        mapped=True,
        offloads=True,
        draft=_draft(model, runs),
        engine=runs.engine,
        users=runs.users,
        replicas=min(ranks.dp, runs.users),
    )


def _draft(model: Model, runs: Runs) -> Draft | None:
    last = (runs.ranks.pp - 1) * runs.ranks.tp
    if runs.mtp and runs.drafted and (model.n_nextn or model.parameters.mtp):
        return Draft(runs.drafted, draft_reads(model, runs.storage, runs.ranks), 1, last)
    return Draft(runs.drafted, 0, 0, last, guesses=True) if runs.looks_up else None
