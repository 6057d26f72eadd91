"""What a graph is given besides weights and cache: masks, indices, rotations. All of it lies in pinned host memory.

Source: src/llama-graph.cpp of build 11434 (llm_graph_input_*), and its report on every oracle case.
"""

from collections.abc import Iterator
from typing import NamedTuple

from tonnage.engines.llamacpp.cache import window_cells
from tonnage.engines.llamacpp.settings import Settings
from tonnage.model.types import Attention, Compressed, Indexer, Latent, Model, Recurrent
from tonnage.quant.types import block_type
from tonnage.units import pad

V_ROTATION = 64
"""side of the matrix that turns values before they are quantised; that of keys follows the head"""

UNROTATED = ("nemotron_h", "kimi", "mamba")
"""families without position embedding: they have no input of positions"""

SCALED = ("gemma3", "gemma4", "llama4")
"""architectures with one more input per token (an attention scale, or which embeddings are images)"""


class Kind(NamedTuple):
    """One kind of cache, as the graph's inputs see it: all layers of a kind share mask and indices."""

    cells: int
    head: int
    """elements of one key head; 0 where keys are not turned"""
    width_v: int
    """elements of the widest row of values; 0 where the cache holds keys alone"""


def kinds(model: Model, settings: Settings) -> tuple[Kind, ...]:
    """The caches that have a mask: full attention, then windows; a model with windows has both, also where no layer is full."""
    mixers = [m for layer in model.layers if not layer.nextn for m in layer.mixers]
    attention = [m for m in mixers if isinstance(m, Attention)]
    full = [m for m in attention if not m.window]
    sliding = [m for m in attention if m.window]
    found = [_kind(settings.cells, full or sliding)] if attention else []
    found += [_kind(window_cells(w, settings), [m for m in sliding if m.window == w]) for w in sorted({m.window for m in sliding})]
    if any(isinstance(m, Latent | Compressed) for m in mixers):
        found.append(Kind(settings.cells, 0, 0))
    return (*found, *(Kind(settings.cells, 0, 0) for _ in _latent_indexer(model)))


def _kind(cells: int, alike: list[Attention]) -> Kind:
    return Kind(cells, max(m.k_dim for m in alike), max(m.v_dim * m.kv_heads for m in alike))


def _latent_indexer(model: Model) -> Iterator[Indexer]:
    """The indexer beside latent attention: a cache with a mask of its own. None or one."""
    found = (m.indexer for layer in model.layers for m in layer.mixers if isinstance(m, Latent) and m.indexer)
    yield from (indexer for indexer in (next(found, None),) if indexer)


def masks(model: Model, settings: Settings) -> int:
    """M: a mask for every kind of cache, in F16 with flash attention, in F32 without."""
    size = 2 if settings.flash_attn else 4
    return sum(size * kind.cells * settings.tokens for kind in kinds(model, settings))


def rotations(model: Model, settings: Settings) -> int:
    """Hadamard matrices that turn keys and values before they are quantised, and an indexer's keys always."""
    turned = [kind for kind in kinds(model, settings) if kind.head]
    keys = sum(_square(kind.head & -kind.head) for kind in turned) if _quantised(settings.type_k) else 0
    values = len(turned) * _square(V_ROTATION) if _quantised(settings.type_v) else 0
    return keys + values + sum(_square(indexer.k_width & -indexer.k_width) for indexer in _latent_indexer(model))


def _square(side: int) -> int:
    return 4 * side * side


def _quantised(kind: str) -> bool:
    return block_type(kind).elements > 1


def indices(model: Model, settings: Settings) -> int:
    """Four-byte inputs per token: the token, positions, and where its keys and values go in every cache."""
    caches = sum(4 if kind.width_v else 2 for kind in kinds(model, settings))
    return 4 + _positions(model) + caches + (model.architecture in SCALED)


def _positions(model: Model) -> int:
    """Positions of a token: four with mrope, none where nothing is rotated."""
    if model.architecture.startswith(UNROTATED):
        return 0
    return 4 if "rope.dimension_sections" in model.hparams else 1


def state_rows(model: Model, settings: Settings, alignment: int) -> int:
    """Which states the slots read: one number per slot, in models that have any."""
    recurrent = any(isinstance(m, Recurrent) for layer in model.layers for m in layer.mixers)
    return pad(4 * settings.slots, alignment) if recurrent else 0


def host_inputs(model: Model, settings: Settings) -> int:
    """All inputs together. The hidden state counts four times: texts and embeddings are reserved side by side."""
    u = settings.tokens
    per_token = 16 * u * model.n_embd + 4 * u * indices(model, settings)
    rest = pad(4 * settings.outputs, 32) + state_rows(model, settings, 32) + rotations(model, settings)
    return masks(model, settings) + per_token + rest + _transposed_values(model, settings)


def _transposed_values(model: Model, settings: Settings) -> int:
    """Without flash attention V is stored transposed: an index for every element of it, instead of one for every row."""
    if settings.flash_attn:
        return 0
    widest = max((kind.width_v for kind in kinds(model, settings)), default=0)
    return sum(8 * settings.tokens * (widest - 1) for kind in kinds(model, settings) if kind.width_v)
