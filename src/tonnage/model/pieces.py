"""The matrices and vectors of a model with what ranks may share out of each: the one list that engines with many ranks read.

How a tensor may be cut follows from what it computes, and that from its name and its layer: projections to heads by
heads, what follows them by inputs, vocabularies by rows. A family whose tensors bear names of its own says so in a
table `CUTS` of its file (stem -> side). Nothing here knows an engine.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tonnage.model.archs import family_of_architecture
from tonnage.model.published import EMBEDDING, EXPERT, HEAD, NEXTN, OTHER, Matrix, described, dropped_mtp, joined, stem_of
from tonnage.model.states import Segment, state_of
from tonnage.model.types import Attention, Compressed, Latent, Layer, Mixer, Model, Recurrent, Tensor

OUT, IN, VOCAB, WHOLE = "out", "in", "vocab", "whole"
"""cut by outputs; cut by inputs; cut by rows of a vocabulary; every rank holds all of it"""


class Piece(NamedTuple):
    """`copies` arrays of `n_out` x `n_in`; a vector has an `n_in` of 1."""

    stem: str
    """its name in the GGUF, without block and ending"""
    module: str
    """its module in the checkpoint; an expert's number is `*`"""
    role: str
    """of published.ROLES"""
    side: str
    segments: tuple[Segment, ...]
    """of the side that is cut"""
    n_in: int
    n_out: int
    copies: int = 1
    block: int | None = None
    """the block that it belongs to; None for embedding, head and their like"""
    bias: bool = False
    float32: bool = False
    """published as F32, whatever the rest is"""
    experts: bool = False
    """one copy an expert"""

    @property
    def elements(self) -> int:
        """Parameters of all copies."""
        return self.n_in * self.n_out * self.copies


_SIDES: Mapping[str, str] = {
    **dict.fromkeys(("token_embd", "per_layer_token_embd", "output", "nextn.embed_tokens", "nextn.shared_head_head"), VOCAB),
    **dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_gate", "attn_q_b", "attn_kv_b", "attn_sinks", "attn_output_a"), OUT),
    **dict.fromkeys(("ffn_gate", "ffn_up", "ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps", "ffn_gate_shexp", "ffn_up_shexp"), OUT),
    **dict.fromkeys(("ssm_in", "ssm_conv1d", "ssm_a", "ssm_d", "ssm_dt", "ssm_alpha", "ssm_beta", "ssm_ba", "ssm_f_b", "ssm_g", "ssm_g_b"), OUT),
    **dict.fromkeys(("ssm_conv1d_q", "ssm_conv1d_k", "ssm_conv1d_v", "shortconv.in_proj", "shortconv.conv"), OUT),
    **dict.fromkeys(("attn_output", "attn_output_b", "ffn_down", "ffn_down_exps", "ffn_down_shexp", "ssm_out", "ssm_x", "shortconv.out_proj"), IN),
}
"""stem -> side; every rank holds the whole of all others: norms, routers, latents, indexers"""


def pieces(model: Model, *, mtp: bool = False) -> tuple[Piece, ...]:
    """All that the text model holds; with the blocks of multi-token prediction where `mtp` is true."""
    trunk = len(model.layers) - model.n_nextn
    found = tuple(piece for piece in _of_model(model) if mtp or piece.block is None or piece.block < trunk)
    return found + (_dropped(model, found) if mtp else ())


def _of_model(model: Model) -> Iterator[Piece]:
    own: Mapping[str, str] = getattr(family_of_architecture(model.architecture), "CUTS", {})
    halves: dict[int, Tensor] = {}
    for tensor in model.tensors:
        stem = stem_of(tensor)
        if stem in ("attn_k_b", "attn_v_b") and tensor.block is not None:
            other = halves.pop(tensor.block, None)
            if other is None:
                halves[tensor.block] = tensor
            else:
                yield _piece(model, "attn_kv_b", joined(model.architecture, other, tensor), tensor, own)
        elif (matrix := described(model.architecture, tensor)) is not None:
            yield _piece(model, stem, matrix, tensor, own)


def _piece(model: Model, stem: str, matrix: Matrix, tensor: Tensor, own: Mapping[str, str]) -> Piece:
    bias = tensor.name.endswith(".bias")
    side = own.get(stem) or _SIDES.get(stem, WHOLE)
    side = WHOLE if bias and side == IN else side
    experts = "_exps" in stem
    n_in, n_out, copies = matrix.n_in, matrix.n_out, matrix.copies
    if matrix.role == OTHER:
        n_in, n_out, copies = _of_vector(stem, tensor, experts, side)
    layer = None if tensor.block is None else model.layers[tensor.block]
    segments = _segments(model, layer, stem, n_out if side in (OUT, VOCAB) else n_in) if side != WHOLE else ()
    return Piece(stem, matrix.module, matrix.role, side, segments, n_in, n_out, copies, tensor.block, bias, matrix.float32, experts)


def _of_vector(stem: str, tensor: Tensor, experts: bool, side: str) -> tuple[int, int, int]:
    """(n_in, n_out, copies) of what no quantiser touches; convolutions keep their taps as inputs."""
    if experts and len(tensor.shape) == 2:
        return 1, tensor.shape[0], tensor.shape[1]
    if side == OUT and "conv" in stem and not tensor.name.endswith(".bias"):
        return tensor.shape[0], tensor.elements // tensor.shape[0], 1
    if side != WHOLE and len(tensor.shape) == 2 and tensor.shape[0] > 1:
        return tensor.shape[0], tensor.shape[1], 1
    return 1, tensor.elements, 1


# --- what is never cut ----------------------------------------------------------------------------


def _segments(model: Model, layer: Layer | None, stem: str, rows: int) -> tuple[Segment, ...]:
    """The units of the side that is cut: heads and groups of the layer's mixer, else single rows."""
    mixer = _mixer_of(layer, stem)
    if isinstance(mixer, Recurrent):
        return _of_state(model, mixer, stem, rows)
    if isinstance(mixer, Attention):
        return _of_attention(mixer, stem, rows)
    if isinstance(mixer, Latent | Compressed):
        return (Segment(rows, mixer.heads),)
    return (Segment(rows, rows),)


def _mixer_of(layer: Layer | None, stem: str) -> Mixer | None:
    """The mixer that a tensor belongs to; None for feed-forward parts and vocabularies."""
    if layer is None or not stem.startswith(("attn_", "ssm_", "shortconv")):
        return None
    recurrent = next((m for m in layer.mixers if isinstance(m, Recurrent)), None)
    others = next((m for m in layer.mixers if not isinstance(m, Recurrent)), None)
    return (others or recurrent) if stem.startswith("attn_") else (recurrent or others)


def _of_attention(mixer: Attention, stem: str, rows: int) -> tuple[Segment, ...]:
    kv = mixer.kv_heads
    if stem in ("attn_k", "attn_v"):
        return (Segment(rows, kv, copied=True),)
    if stem == "attn_qkv":
        k, v = kv * mixer.k_dim, kv * mixer.v_dim
        return (Segment(rows - k - v, mixer.heads), Segment(k, kv, copied=True), Segment(v, kv, copied=True))
    return (Segment(rows, mixer.heads if rows % mixer.heads == 0 else rows),)


def _of_state(model: Model, mixer: Recurrent, stem: str, rows: int) -> tuple[Segment, ...]:
    state = state_of(model, mixer)
    channels = sum(segment.rows for segment in state.channels)
    if stem in ("attn_qkv", "ssm_conv1d") and rows == channels:
        return state.channels
    if stem == "ssm_in" and mixer.kind == "mamba2":
        inner = state.channels[0]
        return (inner, *state.channels, Segment(rows - channels - inner.rows, state.heads))
    heads = state.heads if state.heads and rows % state.heads == 0 else rows
    return (Segment(rows, heads),)


# --- multi-token prediction -----------------------------------------------------------------------


def _dropped(model: Model, found: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Blocks of multi-token prediction that the converter leaves out: like the last block, as `dropped_mtp` says."""
    last = len(model.layers) - 1
    like = {piece.module.removeprefix(f"model.layers.{last}."): piece for piece in found if piece.block == last}
    return tuple(_of_dropped(matrix, like, last + 1) for matrix in dropped_mtp(model))


def _of_dropped(matrix: Matrix, like: Mapping[str, Piece], block: int) -> Piece:
    name = matrix.module.split(".", 3)[3]
    if name in like:
        return like[name]._replace(module=matrix.module, block=block)
    side = VOCAB if matrix.role in (EMBEDDING, HEAD) else WHOLE
    segments = (Segment(matrix.n_out, matrix.n_out),) if side == VOCAB else ()
    n_in, n_out = (1, matrix.elements) if matrix.role == OTHER else (matrix.n_in, matrix.n_out)
    return Piece(name, matrix.module, matrix.role, side, segments, n_in, n_out, 1, block)


def is_matrix(piece: Piece) -> bool:
    """Whether a quantiser may touch it."""
    return piece.role != OTHER


__all__ = ["EMBEDDING", "EXPERT", "HEAD", "IN", "NEXTN", "OTHER", "OUT", "VOCAB", "WHOLE", "Piece", "is_matrix", "pieces"]
