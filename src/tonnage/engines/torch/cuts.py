"""How many rows of a piece one rank holds: Megatron's way of sharing a layer out, which vLLM and SGLang follow."""

from typing import NamedTuple

from tonnage.errors import RefusedError
from tonnage.model.pieces import IN, OUT, VOCAB, WHOLE, Piece
from tonnage.model.states import Segment
from tonnage.units import ceil_div, pad

VOCAB_PADDING = 64
"""DEFAULT_VOCAB_PADDING_SIZE of vLLM's and SGLang's VocabParallelEmbedding"""


class Cut(NamedTuple):
    """What one rank holds of a piece: `parts` of (outputs, inputs) that are stored apart, in `copies`."""

    n_out: tuple[int, ...]
    n_in: int
    copies: int

    @property
    def elements(self) -> int:
        """Weights of all copies."""
        return sum(self.n_out) * self.n_in * self.copies


def rows(segment: Segment, ranks: int, what: str) -> int:
    """Rows of one rank; RefusedError where they do not come out even."""
    if segment.units % ranks == 0:
        return segment.units // ranks * segment.width
    if segment.copied and ranks % segment.units == 0:
        return segment.width
    raise RefusedError(f"tensor_parallel={ranks}: {what} has {segment.units:,} units, which {ranks} ranks cannot share evenly")


def cut(piece: Piece, tp: int, ep: int = 1) -> Cut:
    """The piece on one rank of `tp`; with `ep` above 1 experts are shared out whole."""
    if piece.experts and ep > 1:
        if piece.copies % ep:
            raise RefusedError(f"expert_parallel={ep}: {piece.copies} experts cannot be shared evenly among {ep} ranks")
        return Cut((piece.n_out,), piece.n_in, piece.copies // ep)
    if piece.side == VOCAB:
        return Cut((pad(piece.n_out, VOCAB_PADDING) // tp,), piece.n_in, piece.copies)
    if piece.side == OUT:
        return Cut(tuple(rows(segment, tp, piece.module) for segment in piece.segments), piece.n_in, piece.copies)
    if piece.side == IN:
        return Cut((piece.n_out,), sum(rows(segment, tp, piece.module) for segment in piece.segments), piece.copies)
    return Cut((piece.n_out,), piece.n_in, piece.copies)


def whole(piece: Piece) -> Cut:
    """The piece where nothing is cut or padded."""
    return Cut((piece.n_out,), piece.n_in, piece.copies)


def state_channels(segments: tuple[Segment, ...], ranks: int) -> int:
    """Channels of a convolution on one rank."""
    return sum(rows(segment, ranks, "a recurrent layer") for segment in segments)


__all__ = ["WHOLE", "Cut", "ceil_div", "cut", "rows", "state_channels", "whole"]
