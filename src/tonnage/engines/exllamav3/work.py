"""What ExLlamaV3 does for one token on its one device."""

from tonnage.engines.exllamav3 import kv_bits_of, quant_of
from tonnage.engines.exllamav3.memory import bits_of, piece_bytes, state_bytes, weights_bytes
from tonnage.engines.torch.reads import cache_reads
from tonnage.model.active import attention_widths, expert_share
from tonnage.model.pieces import EMBEDDING, pieces
from tonnage.model.types import Model
from tonnage.question import Question
from tonnage.work import Attention, Place, Work

CHUNK = 2048
"""tokens of a prompt that are computed together"""


def work(question: Question, model: Model) -> Work:
    """The work of a token for the question's settings, at its depth; the embedding is looked up in host memory."""
    bits, share, depth = bits_of(quant_of(question)), expert_share(model), question.depth or 0
    read = [(piece, piece_bytes(piece, bits)) for piece in pieces(model) if piece.role != EMBEDDING]
    experts = sum(nbytes for piece, nbytes in read if piece.experts)
    dense = sum(nbytes for piece, nbytes in read if not piece.experts)
    parameters = sum(piece.elements * (share if piece.experts else 1) for piece, _ in read)
    trunk = len(model.layers) - model.n_nextn
    kv, state = cache_reads(model, range(trunk), 1, kv_bits_of(question), depth, lambda mixer: state_bytes(model, mixer))
    return Work(
        places=(Place(0, dense, round(experts * share), kv, state, trunk, round(parameters), dense + experts),),
        depth=depth,
        expert_share=share,
        attention=tuple(Attention(*kind) for kind in attention_widths(model)),
        is_f16=False,
        ubatch=CHUNK,
        file_bytes=sum(weights_bytes(model, bits)),
        mapped=False,
        offloads=True,
        engine="exllamav3",
        users=question.users or 1,
    )
