"""Bytes of EXL3 weights and of the cache that ExLlamaV3 allocates when it starts (exllamav3 1.6.5, read)."""

import re

from tonnage.errors import UnsupportedError
from tonnage.model.pieces import EMBEDDING, HEAD, OTHER, Piece, pieces
from tonnage.model.published import GATE, ROUTER
from tonnage.model.states import state_of
from tonnage.model.types import Attention, Latent, Model, Recurrent
from tonnage.units import pad

PAGE = 256
"""tokens of a page of the cache"""
TILE = 128
"""rows and columns that a matrix is padded to"""
HEAD_BITS = 6
"""of the head, whatever the rest has (the quantiser's default)"""
SCALE_BITS = 0.5
"""per cached value, where the cache is quantised"""
_KEPT = (EMBEDDING, ROUTER, GATE, OTHER)


def bits_of(quant: str | None) -> float:
    """Bits per weight of `exl3-4.0bpw`; UnsupportedError for what is none."""
    found = re.fullmatch(r"(?i)exl3[-_:]?([1-8](?:\.[0-9]{1,2})?)(?:bpw)?", quant or "exl3-4.0bpw")
    if found is None:
        raise UnsupportedError(f"exllamav3 cannot load {quant!r}: it takes exl3-1.0bpw to exl3-8.0bpw", ("exl3-4.0bpw",))
    return float(found[1])


def weights_bytes(model: Model, bits: float) -> tuple[int, int]:
    """(on the GPU, in host memory): the embedding is looked up by the CPU; vision and multi-token prediction are not loaded."""
    held = sum(piece_bytes(piece, bits) for piece in pieces(model) if piece.role != EMBEDDING)
    return held, sum(2 * piece.elements for piece in pieces(model) if piece.role == EMBEDDING)


def piece_bytes(piece: Piece, bits: float) -> int:
    """Trellis and the signs of both sides."""
    if piece.role in _KEPT:
        return 2 * piece.elements
    o, i = pad(piece.n_out, TILE), pad(piece.n_in, TILE)
    return piece.copies * round(o * i * (HEAD_BITS if piece.role == HEAD else bits) / 8 + 2 * (o + i))


def cache_bytes(model: Model, tokens: int, kv_bits: float) -> tuple[int, int]:
    """(keys and values, states) of so many tokens; windows are kept whole."""
    mixers = [mixer for layer in model.layers if not layer.nextn for mixer in layer.mixers]
    rows = pad(tokens, PAGE)
    width = sum(_width(mixer) for mixer in mixers)
    return round(width * rows * kv_bits / 8), sum(state_bytes(model, mixer) for mixer in mixers if isinstance(mixer, Recurrent))


def _width(mixer: object) -> int:
    if isinstance(mixer, Attention) and mixer.kv_layer is None:
        return mixer.kv_heads * (mixer.k_dim + mixer.v_dim)
    return mixer.width if isinstance(mixer, Latent) else 0


def state_bytes(model: Model, mixer: Recurrent) -> int:
    """Elements in F32 and the convolution's tail in 16 bits."""
    state = state_of(model, mixer)
    return 4 * state.elements + 2 * (state.kernel - 1) * sum(segment.rows for segment in state.channels)
