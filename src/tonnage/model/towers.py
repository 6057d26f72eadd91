"""Vision towers, which llama.cpp's converter leaves out: their pieces, from the config's `vision_config`.

Shapes: transformers 5.23 (Qwen3VLVisionModel and its like, SiglipVisionModel with Gemma 3's projector).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tonnage.model.pieces import IN, OTHER, OUT, WHOLE, Piece
from tonnage.model.published import LINEAR
from tonnage.model.states import Segment
from tonnage.model.types import Model


def tower(model: Model) -> tuple[Piece, ...] | None:
    """The pieces of the vision tower; none where the model has no tower, None where its shape is not known."""
    vision = model.config.get("vision_config")
    if not isinstance(vision, Mapping):
        return None if model.parameters.vision else ()
    make = next((make for kind, make in _TOWERS.items() if str(vision.get("model_type", "")).startswith(kind)), None)
    if make is None or (model.basis == "file" and not model.parameters.vision):
        return None
    try:
        made = tuple(make(vision, model.n_embd))
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    known = model.parameters.vision
    return made if not known or known == sum(piece.elements for piece in made) else None


def _linear(name: str, n_in: int, n_out: int, side: str, units: int = 0) -> Iterator[Piece]:
    """A matrix and its bias; the bias of what is cut by inputs is not cut, and what is never cut is a convolution over patches."""
    rows = n_out if side == OUT else n_in
    segments = (Segment(rows, units or rows),) if side != WHOLE else ()
    yield Piece(name, f"visual.{name}", OTHER if side == WHOLE else LINEAR, side, segments, n_in, n_out)
    bias = side if side == OUT else WHOLE
    yield Piece(name, f"visual.{name}", OTHER, bias, segments if bias == OUT else (), 1, n_out, bias=True)


def _vector(name: str, n: int) -> Piece:
    return Piece(name, f"visual.{name}", OTHER, WHOLE, (), 1, n)


def _norm(name: str, n: int) -> tuple[Piece, Piece]:
    """A layer norm: scale and bias."""
    return _vector(name, n), _vector(f"{name}.bias", n)


def _block(i: int, n: int, width: int, heads: int) -> Iterator[Piece]:
    """Pre-norm attention and a plain feed-forward part, all with biases."""
    yield from _norm(f"blk.{i}.ln1", n)
    for name in ("q", "k", "v"):
        yield from _linear(f"blk.{i}.attn_{name}", n, n, OUT, heads)
    yield from _linear(f"blk.{i}.attn_out", n, n, IN)
    yield from _norm(f"blk.{i}.ln2", n)
    yield from _linear(f"blk.{i}.ffn_up", n, width, OUT)
    yield from _linear(f"blk.{i}.ffn_down", width, n, IN)


def _qwen(vision: Mapping[str, Any], text: int) -> Iterator[Piece]:
    """Patches of two frames, a table of positions, blocks, and a merger of neighbours for each place that feeds the text model."""
    n, merge = int(vision["hidden_size"]), int(vision["spatial_merge_size"]) ** 2
    patch = int(vision["in_channels"]) * int(vision["temporal_patch_size"]) * int(vision["patch_size"]) ** 2
    yield from _linear("patch_embd", patch, n, WHOLE)
    yield Piece("position_embd", "visual.pos_embed", OTHER, WHOLE, (), 1, n * int(vision["num_position_embeddings"]))
    for i in range(int(vision["depth"])):
        yield from _block(i, n, int(vision["intermediate_size"]), int(vision["num_heads"]))
    out = int(vision.get("out_hidden_size") or text)
    for place in range(1 + len(vision.get("deepstack_visual_indexes") or ())):
        yield from _norm(f"merger.{place}.norm", n if place == 0 else n * merge)
        yield from _linear(f"merger.{place}.fc1", n * merge, n * merge, OUT)
        yield from _linear(f"merger.{place}.fc2", n * merge, out, IN)


def _siglip(vision: Mapping[str, Any], text: int) -> Iterator[Piece]:
    """SigLIP without its head, and Gemma 3's projector: a norm and a matrix."""
    n, side = int(vision["hidden_size"]), int(vision["image_size"]) // int(vision["patch_size"])
    yield from _linear("patch_embd", int(vision.get("num_channels", 3)) * int(vision["patch_size"]) ** 2, n, WHOLE)
    yield Piece("position_embd", "visual.position_embedding", OTHER, WHOLE, (), n, side * side)
    for i in range(int(vision["num_hidden_layers"])):
        yield from _block(i, n, int(vision["intermediate_size"]), int(vision["num_attention_heads"]))
    yield from _norm("post_ln", n)
    yield _vector("mm.soft_emb_norm", n)
    yield Piece("mm.input_projection", "visual.mm_input_projection", OTHER, WHOLE, (), n, text)


_TOWERS: Mapping[str, Callable[[Mapping[str, Any], int], Iterator[Piece]]] = {"qwen3": _qwen, "siglip_vision_model": _siglip}
"""beginning of a vision model_type -> its pieces"""
