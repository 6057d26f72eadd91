"""What one token reads on every rank: weights tensor by tensor, and the cache layer by layer."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from tonnage.engines.torch.cuts import cut, rows
from tonnage.engines.torch.ranks import Ranks, stages
from tonnage.engines.torch.storage import Storage
from tonnage.engines.torch.weights import on_stage, sized
from tonnage.model.active import expert_share, top_k
from tonnage.model.pieces import EMBEDDING, HEAD, Piece, pieces
from tonnage.model.states import Segment
from tonnage.model.types import Attention, Latent, Mixer, Model, Recurrent


class RankReads(NamedTuple):
    """What a token reads of the weights on one rank of a stage."""

    dense: int
    experts: int
    """routed ones, as many as a token is sent to"""
    parameters: int
    """weights that the token runs through"""
    stored: int
    """bytes of all that lie there"""


@lru_cache(maxsize=64)
def reads_per_stage(model: Model, storage: Storage, ranks: Ranks) -> tuple[RankReads, ...]:
    """One for every stage of the pipeline. Tables that are looked up by row are read by no token; a tied one is, as the head."""
    text, trunk = pieces(model), len(model.layers) - model.n_nextn
    tied = not any(piece.role == HEAD and piece.block is None for piece in text)
    plan = stages(trunk, ranks.pp)
    return tuple(_of_stage(model, text, storage, ranks, blocks, i, len(plan), tied) for i, blocks in enumerate(plan))


def _of_stage(model: Model, text: tuple[Piece, ...], storage: Storage, ranks: Ranks, blocks: range, i: int, count: int, tied: bool) -> RankReads:
    held = [p for p in text if on_stage(p, blocks, len(model.layers) - model.n_nextn, i == 0, i == count - 1, tied)]
    share = expert_share(model)
    dense = experts = stored = 0
    parameters = 0.0
    for piece, nbytes in sized(held, storage, ranks):
        stored += nbytes
        if piece.role == EMBEDDING and not (tied and i == count - 1 and piece.stem == "token_embd"):
            continue
        elements = cut(piece, ranks.tp, ranks.experts).elements
        dense, experts = dense + (0 if piece.experts else nbytes), experts + (nbytes if piece.experts else 0)
        parameters += elements * (share if piece.experts else 1)
    return RankReads(dense, round(experts * share), round(parameters), stored)


def draft_reads(model: Model, storage: Storage, ranks: Ranks) -> int:
    """Bytes that the block of multi-token prediction reads on one rank for a token, the head included."""
    text, trunk, share = pieces(model, mtp=True), len(model.layers) - model.n_nextn, expert_share(model)
    head = next((p for p in text if p.role == HEAD and p.block is None), next(p for p in text if p.stem == "token_embd"))
    block = [p for p in text if p.block is not None and p.block >= trunk and p.role != EMBEDDING]
    return round(sum(nbytes * (share if piece.experts else 1) for piece, nbytes in sized([*block, head], storage, ranks)))


def cache_reads(model: Model, layers: range, tp: int, bits: float, depth: int, state: Callable[[Recurrent], int]) -> tuple[int, int]:
    """(keys and values, states) that a token reads on one rank in these layers, with `depth` tokens of one request in the cache."""
    mixers = [mixer for i in layers for mixer in model.layers[i].mixers if not model.layers[i].nextn]
    kv = sum(_bits(mixer, tp, bits, depth, top_k(model)) for mixer in mixers)
    return round(kv / 8), sum(state(mixer) for mixer in mixers if isinstance(mixer, Recurrent))


def _bits(mixer: Mixer, tp: int, bits: float, depth: int, chosen: int) -> float:
    indexer = getattr(mixer, "indexer", None)
    index = 8 * (indexer.k_width + indexer.v_width) * depth if indexer else 0
    seen = min(depth, chosen) if indexer and chosen else depth
    if isinstance(mixer, Latent):
        return index + mixer.width * bits * seen
    if not isinstance(mixer, Attention):
        return 0
    heads = rows(Segment(mixer.kv_heads, mixer.kv_heads, copied=True), tp, "the cache's heads") if mixer.kv_heads else 0
    return index + heads * (mixer.k_dim + mixer.v_dim) * bits * (min(seen, mixer.window) if mixer.window else seen)


def blocks_of(model: Model, ranks: Ranks) -> Iterator[range]:
    """The layers of every stage."""
    yield from stages(len(model.layers) - model.n_nextn, ranks.pp)
