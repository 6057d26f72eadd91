"""Bytes of parameters on every rank, tensor by tensor.

Source: vLLM 0.33 built on the meta device with one rank and with several (tests/data/torch-cases.json.gz).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from tonnage.engines.torch.cuts import Cut, cut
from tonnage.engines.torch.layouts import LAYOUTS
from tonnage.engines.torch.ranks import Ranks, stages
from tonnage.engines.torch.storage import Storage
from tonnage.errors import RefusedError
from tonnage.frozen import dataclass
from tonnage.model.pieces import EMBEDDING, HEAD, OUT, Piece, pieces
from tonnage.model.towers import tower
from tonnage.model.types import Attention, Model
from tonnage.quant.schemes import Scheme
from tonnage.units import pad

MXFP4_WIDTH, MXFP4_HIDDEN = 128, 256
"""what the kernels of MXFP4 experts pad an expert's width and the hidden size to (Marlin; others pad otherwise)"""
ATTENTION_SCALES = 4 * 2
"""bytes of an attention layer's scalars for q, k, v and probabilities under the FP8 method (BaseKVCacheMethod); latent attention has none"""
MERGED = {"ssm_alpha": 2, "ssm_beta": 0}
"""times the rows of a projection that is one matrix with its neighbour in the engine, and so shares its blocks of scales"""
MXFP4_DOUBT = 0.025
"""share by which MXFP4 and NVFP4 experts may differ with the kernel: the public H100 table has 1.5 and 2.4 % less"""
FLOAT32 = ("ssm_a",)
"""kept in F32 whatever the checkpoint has (A_log of gated delta nets, A of Mamba-2)"""
PACKED = ("gptq", "awq")
"""formats whose kernel (Marlin) gives experts a bias each, whether the model has one or not, and whose projections to one
number a head are not cut: their few rows fill no tile"""
GATES = ("ssm_alpha", "ssm_beta", "ssm_ba")
ON_EVERY_STAGE = ("qwen3next", "qwen35", "qwen35moe")
"""architectures whose class builds embedding and vision tower on every stage of a pipeline"""


@dataclass(frozen=True, slots=True)
class RankWeights:
    """What one rank holds."""

    parameters: int
    """bytes of all parameters"""
    uncertain: int
    """of them those whose padding depends on the kernel"""
    vision: int
    """of them the vision tower"""
    assumed_vision: int = 0
    """of them a tower whose shape is not known: taken as cut evenly"""


@lru_cache(maxsize=128)
def weights_per_rank(model: Model, storage: Storage, ranks: Ranks, mtp: bool = False, vision: bool = True) -> tuple[RankWeights, ...]:
    """One for every stage of the pipeline: the ranks of a stage hold the same.

    Raises RefusedError where heads, experts or blocks of scales do not come out even.
    """
    text = pieces(model, mtp=mtp)
    images = tower(model) if vision else ()
    unknown = model.parameters.vision if images is None and vision else 0
    trunk = len(model.layers) - model.n_nextn
    tied = not any(piece.role == HEAD and piece.block is None for piece in text)
    plan = stages(trunk, ranks.pp)
    found = []
    for stage, blocks in enumerate(plan):
        first, last, everywhere = stage == 0, stage == len(plan) - 1, model.architecture in ON_EVERY_STAGE
        held = [p for p in text if on_stage(p, blocks, trunk, first or everywhere, last, tied)]
        seen = list(images or ()) if first or everywhere else []
        attention = sum(isinstance(mixer, Attention) for i in blocks for mixer in model.layers[i].mixers)
        found.append(_summed(held, seen, storage, ranks, unknown if first or everywhere else 0, attention))
    return tuple(found)


def on_stage(piece: Piece, blocks: range, trunk: int, embeds: bool, last: bool, tied: bool) -> bool:
    """Whether the ranks of a stage with these blocks hold the piece."""
    if piece.block is not None:
        return piece.block in blocks or (last and piece.block >= trunk)
    if piece.role == EMBEDDING:
        return embeds or (last and tied)
    return last


def _summed(text: Sequence[Piece], images: Sequence[Piece], storage: Storage, ranks: Ranks, unknown: int, attention: int) -> RankWeights:
    parameters = uncertain = 0
    if storage.by_full_names:
        parameters += ATTENTION_SCALES * attention
    for piece, nbytes in sized(text, storage, ranks):
        parameters += nbytes
        uncertain += nbytes if piece.experts and storage.name in ("mxfp4", "nvfp4") else 0
    seen = sum(nbytes for _, nbytes in sized(images, storage, ranks))
    guessed = 2 * unknown // ranks.tp
    return RankWeights(parameters + seen + guessed, uncertain, seen + guessed, guessed)


def sized(held: Sequence[Piece], storage: Storage, ranks: Ranks) -> Iterator[tuple[Piece, int]]:
    """Every piece with its bytes; blocks of one shape are reckoned once."""
    known: dict[tuple[object, ...], int] = {}
    for piece in held:
        quantised = storage.quantises(piece)
        key = (quantised, *piece[0:1], *piece[2:8], *piece[9:])
        if key not in known:
            tp = 1 if storage.name in PACKED and piece.stem in GATES else ranks.tp
            known[key] = bytes_of(piece, cut(piece, tp, ranks.experts), storage, quantised)
        yield piece, known[key]


def bytes_of(piece: Piece, held: Cut, storage: Storage, quantised: bool) -> int:
    """Bytes of what a rank holds of the piece."""
    if storage.name == "mxfp4" and piece.experts:
        held = _padded(piece, held)
    if not quantised or storage.scheme is None:
        return held.elements * (4 if piece.float32 or piece.stem in FLOAT32 else 2)
    layout, scheme = LAYOUTS[storage.name], storage.scheme
    _check_blocks(piece, held, scheme)
    times = MERGED.get(piece.stem, 1)
    nbytes = held.copies * sum(layout(scheme, n_out * times, held.n_in) for n_out in held.n_out if times)
    return nbytes + (2 * held.copies * sum(held.n_out) if piece.experts and storage.name in PACKED else 0)


def _padded(piece: Piece, held: Cut) -> Cut:
    """The piece as the kernel wants it: an expert's width and the hidden size as multiples."""
    out, into = (MXFP4_WIDTH, MXFP4_HIDDEN) if piece.side == OUT else (MXFP4_HIDDEN, MXFP4_WIDTH)
    return Cut(tuple(pad(n, out) for n in held.n_out), held.n_in if piece.n_in == 1 else pad(held.n_in, into), held.copies)


def _check_blocks(piece: Piece, held: Cut, scheme: Scheme) -> None:
    """Blocks and groups that share a scale are never cut (validate_fp8_block_shape; the packed formats' group of inputs)."""
    rows, columns = scheme.block if scheme.block[0] else (1, max(scheme.group, 1))
    was_cut = (sum(held.n_out), held.n_in) != (piece.n_out, piece.n_in)
    odd = [n for n in held.n_out if n % rows and len(held.n_out) > 1] or ([held.n_in] if held.n_in % columns else [])
    odd = odd or [n for n in held.n_out if n % rows]
    if was_cut and odd:
        raise RefusedError(
            f"tensor_parallel: {piece.module} would have {odd[0]:,} rows or columns a rank, which blocks of {rows} x {columns} weights do not divide"
        )
