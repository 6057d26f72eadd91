"""Bytes of what llama.cpp remembers: keys and values per token, and recurrent state per sequence.

Source: src/llama-kv-cache*.cpp, src/llama-memory-*.cpp of build 11434.
"""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from tonnage.engines.llamacpp.buffers import CPU, CUDA, Alignment, allocated_rows
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.model.types import Attention, Compressed, Indexer, Latent, Layer, Model, Recurrent
from tonnage.units import ceil_div, pad

STATE_TYPE = "f32"


class CacheTensor(NamedTuple):
    """One array of a cache: `rows` rows of `row` elements; `part` is kv or state."""

    part: str
    type: str
    row: int
    rows: int


def cache_by_device(model: Model, settings: Settings, placement: Placement) -> dict[tuple[str, int], int]:
    """Bytes per (kv or state, device); the host is -1."""
    total: Counter[tuple[str, int]] = Counter()
    alike = Counter((first, placement.cache_device(i)) for i, first in enumerate(_first_alike(model)))
    for (i, device), count in alike.items():
        for part, nbytes in _layer_bytes(model, i, settings, CPU if device == HOST else CUDA).items():
            total[part, device] += count * nbytes
    return dict(total)


@lru_cache(maxsize=64)
def _first_alike(model: Model) -> tuple[int, ...]:
    """For every block the number of the first one that is like it: hashing a layer costs more than counting its bytes."""
    first: dict[Layer, int] = {}
    return tuple(first.setdefault(layer, i) for i, layer in enumerate(model.layers))


def _layer_bytes(model: Model, i: int, settings: Settings, alignment: Alignment) -> dict[str, int]:
    """Bytes of one block; blocks alike are counted once and remembered."""
    layer = model.layers[i]
    return {} if layer.nextn else _bytes(layer, settings, alignment, widest_v(model))


@lru_cache(maxsize=1024)
def _bytes(layer: Layer, settings: Settings, alignment: Alignment, v_width: int) -> dict[str, int]:
    total: Counter[str] = Counter()
    for tensor in cache_tensors(layer, settings, v_width):
        total[tensor.part] += allocated_rows(tensor.type, tensor.row, tensor.rows, alignment)
    return dict(total)


@lru_cache(maxsize=64)
def widest_v(model: Model) -> int:
    """The widest value row of all layers: what every layer stores without flash attention."""
    return max((m.v_dim * m.kv_heads for layer in model.layers for m in layer.mixers if isinstance(m, Attention)), default=0)


def cache_tensors(layer: Layer, settings: Settings, v_width: int) -> Iterator[CacheTensor]:
    """The arrays that one block keeps."""
    for mixer in layer.mixers:
        if isinstance(mixer, Attention):
            yield from _attention(mixer, settings, v_width)
        elif isinstance(mixer, Latent):
            rows = settings.cells * settings.streams
            yield CacheTensor("kv", settings.type_k, mixer.width, rows)
            yield from _indexer(mixer.indexer, rows, settings)
        elif isinstance(mixer, Compressed):
            yield from _compressed(mixer, settings)
        else:
            yield from _recurrent(mixer, settings)


def window_cells(window: int, settings: Settings) -> int:
    """Cells of a sliding or chunked window (llama_kv_cache_iswa): the window of every slot and one ubatch."""
    if settings.swa_full:
        return settings.cells
    shared = settings.slots if settings.unified else 1
    return pad(min(settings.cells, window * shared + settings.ubatch), settings.build.cell_padding)


def _attention(mixer: Attention, settings: Settings, v_width: int) -> Iterator[CacheTensor]:
    if mixer.kv_layer is not None:
        return
    rows = (window_cells(mixer.window, settings) if mixer.window else settings.cells) * settings.streams
    yield CacheTensor("kv", settings.type_k, mixer.k_dim * mixer.kv_heads, rows)
    # without flash attention V is stored transposed, as wide in every layer as in the widest
    v_row = v_width if settings.v_transposed else mixer.v_dim * mixer.kv_heads
    yield CacheTensor("kv", settings.type_v, v_row, rows)
    yield from _indexer(mixer.indexer, settings.cells * settings.streams, settings)


def _indexer(indexer: Indexer | None, rows: int, settings: Settings) -> Iterator[CacheTensor]:
    if indexer:
        yield CacheTensor("kv", settings.type_k, indexer.k_width, rows)
        if indexer.v_width:
            yield CacheTensor("kv", settings.type_v, indexer.v_width, rows)


def _compressed(mixer: Compressed, settings: Settings) -> Iterator[CacheTensor]:
    """DeepSeek V4: never unified; each slot has its window, its compressed entries and running sums."""
    slots, padding, type_k = settings.slots, settings.build.cell_padding, settings.type_k
    window = pad(min(settings.cells, mixer.window + settings.ubatch), padding)
    yield CacheTensor("kv", type_k, mixer.head_dim, (settings.cells if settings.swa_full else window) * slots)
    if not mixer.ratio:
        return
    entries = pad(ceil_div(settings.cells, mixer.ratio), padding) * slots
    yield CacheTensor("kv", type_k, mixer.head_dim, entries)
    if mixer.index_dim:
        yield CacheTensor("kv", type_k, mixer.index_dim, entries)
    # ratio 4 compresses overlapping pairs: twice the width, twice the rows
    overlap = 2 if mixer.ratio == 4 else 1
    for width in (mixer.head_dim, mixer.index_dim):
        if width:
            state = CacheTensor("state", STATE_TYPE, overlap * width, overlap * mixer.ratio * slots)
            yield from (state, state)


def _recurrent(mixer: Recurrent, settings: Settings) -> Iterator[CacheTensor]:
    """One state per slot, and one more per drafted token to roll back to."""
    copies = settings.slots * (1 + settings.n_draft)
    for elements in (mixer.conv_elements, mixer.state_elements):
        if elements:
            yield CacheTensor("state", STATE_TYPE, elements, copies)
