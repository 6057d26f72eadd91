"""Closed forms of one device's compute buffer, calibrated by one measured peak per shape.

Symbols as in the engine's notes: U tokens of the reserved graph, d hidden width, V vocabulary,
O outputs, M bytes of all attention masks. Source: runs of build 11434; each regime's band is the
spread that was measured against the engine.
"""

from typing import NamedTuple

from tonnage.answer import Band
from tonnage.engines.llamacpp.cache import window_cells
from tonnage.engines.llamacpp.compute.constants import SPARSE, Width, width
from tonnage.engines.llamacpp.compute.inputs import indices, masks, rotations, state_rows
from tonnage.engines.llamacpp.settings import Settings
from tonnage.model.types import Attention, Compressed, Latent, Model, Recurrent
from tonnage.units import pad

ALIGNMENT = {"cuda": 128, "cpu": 32}

SPARSE_SLOPES = {"minimax-m3": 38.4, "deepseek4": 2.2, "deepseek32": 7.6}
"""bytes per cell and token beyond PROBE_CELLS; a dense mask has 2"""
SPARSE_SLOPE = 7.9
PROBE_CELLS = 32768
"""cells of the runs that the peaks were measured with"""

UNIFIED_MINIMAX = {"cuda": 86_023, "cpu": 67_593}
"""MiniMax M3's peak where slots share a cache: it then attends to everything"""


class Fitted(NamedTuple):
    """Bytes and the band that the engine's own number was found in."""

    bytes: int
    error: Band


def device(model: Model, settings: Settings, backend: str) -> Fitted:
    """The buffer of a device (`cuda` or `cpu`) that runs the whole model."""
    nbytes = size(model, settings, backend)
    low, high = _band(model, settings, backend)
    return Fitted(nbytes, Band(-round(nbytes * low), round(nbytes * high)))


def size(model: Model, settings: Settings, backend: str) -> int:
    """Bytes of that buffer: the largest of the graph's peaks."""
    if model.architecture in SPARSE:
        return _sparse(model, settings, backend)
    attention = _flash(model, settings, backend) if settings.flash_attn else _no_flash(model, settings, backend)
    return max(attention, _logits(model, settings, backend))


def _band(model: Model, settings: Settings, backend: str) -> tuple[float, float]:
    """Shares of the number that the truth lies below and above, by regime."""
    measured = width(model, f"{backend}_w").measured
    latent = any(isinstance(m, Latent) for layer in model.layers for m in layer.mixers)
    quantised = settings.type_k != "f16" or settings.type_v != "f16"
    if model.architecture in SPARSE:
        return 0.6, 1.2
    if not measured:
        return (0.3, 0.3) if quantised or not settings.flash_attn else (0.15, 0.25)
    if not settings.flash_attn:
        return (0.3, 0.12) if latent else (0.01, 0.045)
    if quantised and backend == "cuda":
        return (0.4, 0.12) if latent else (0.02, 0.045)
    if settings.profile == "tools":
        return 0.002, 0.045
    recurrent = any(isinstance(m, Recurrent) for layer in model.layers for m in layer.mixers)
    # several peaks lie close together in recurrent models: which one wins changes with slots and ubatch
    return (0.01, 0.09) if recurrent and backend == "cpu" else (0.01, 0.01)


# --- peaks ----------------------------------------------------------------------------------------


def _peak(w: Width, settings: Settings) -> int:
    return 4 * settings.tokens * w.floats + w.fixed


def _flash(model: Model, settings: Settings, backend: str) -> int:
    """Masks, and what is live at the worst operation with flash attention."""
    base = masks(model, settings) + _output_ids(settings, backend)
    peak = _slots_peak(model, settings, backend)
    if backend == "cpu":
        return base + peak + rotations(model, settings)
    if settings.type_k == settings.type_v == "f16":
        return base + peak
    attention = _peak(width(model, "cuda_w_attn_quant_kv"), settings) + _f16_copy(model, settings)
    return max(base + peak, masks(model, settings) + attention)


def _output_ids(settings: Settings, backend: str) -> int:
    """Row numbers of the outputs: the measured peaks hold those of one output."""
    alignment = ALIGNMENT[backend]
    return pad(4 * settings.outputs, alignment) - alignment


def _slots_peak(model: Model, settings: Settings, backend: str) -> int:
    """The worst operation; where that is Mamba's, the states of all slots are gathered for it."""
    one, four = width(model, f"{backend}_w"), width(model, f"{backend}_w_4slots")
    state, slots = 4 * state_elements(model), settings.slots
    if model.architecture == "mamba2" or four.holds_states(one, state):
        return _peak(one.without(state), settings) + slots * state
    if slots > 1 and four != one:
        return max(_peak(one, settings), _peak(four.without(4 * state), settings) + slots * state)
    return _peak(one, settings)


def state_elements(model: Model) -> int:
    """Elements that the largest recurrent layer remembers of one sequence."""
    return max((m.conv_elements + m.state_elements for layer in model.layers for m in layer.mixers if isinstance(m, Recurrent)), default=0)


def _f16_copy(model: Model, settings: Settings) -> int:
    """One layer's K and V as F16, which CUDA's attention reads where the cache is of another type."""

    def layer(m: Attention | Latent) -> int:
        if isinstance(m, Latent):
            return 2 * settings.cells * settings.streams * m.width
        cells = (window_cells(m.window, settings) if m.window else settings.cells) * settings.streams
        k = m.k_dim * m.kv_heads * (settings.type_k != "f16")
        return 2 * cells * (k + m.v_dim * m.kv_heads * (settings.type_v != "f16"))

    return max((layer(m) for x in model.layers for m in x.mixers if isinstance(m, Attention | Latent)), default=0)


def _logits(model: Model, settings: Settings, backend: str) -> int:
    """Logits of every reserved output, where they do not fit into the masks' space."""
    m, u, d = masks(model, settings), settings.tokens, model.n_embd
    logits = 4 * settings.outputs * model.n_vocab
    if logits <= m + 8 * u * d:
        return 0
    states, index = (4, -1) if backend == "cuda" else (5, 1)
    inputs = 4 * u * (indices(model, settings) + index) + state_rows(model, settings, ALIGNMENT[backend]) + rotations(model, settings)
    return m + 4 * u * states * d + inputs + logits


def _no_flash(model: Model, settings: Settings, backend: str) -> int:
    """All scores of the layer with the most cells x query heads, in F32."""
    base = masks(model, settings) + _output_ids(settings, backend)
    attention = 4 * _scores(model, settings) * settings.tokens + _peak(width(model, f"{backend}_w_fa_off"), settings)
    return base + max(attention, _peak(width(model, f"{backend}_w"), settings))


def _scores(model: Model, settings: Settings) -> int:
    """Cells x query heads of the widest layer."""
    attended = (m.heads * _attended(m, settings) for layer in model.layers for m in layer.mixers if not isinstance(m, Recurrent))
    return max(attended, default=0)


def _attended(mixer: Attention | Latent | Compressed, settings: Settings) -> int:
    """Cells that a query has a score for: all, those of the window, or one for every `ratio` tokens."""
    if isinstance(mixer, Compressed):
        return settings.cells // mixer.ratio if mixer.ratio else 0
    windowed = isinstance(mixer, Attention) and mixer.window
    return window_cells(windowed, settings) if windowed else settings.cells


def _sparse(model: Model, settings: Settings, backend: str) -> int:
    """Sparse attention: beyond the probe's context a line of its own slope, the logits beside it."""
    u, architecture = settings.tokens, model.architecture
    if not settings.flash_attn:
        return _no_flash(model, settings, backend)
    if architecture == "minimax-m3" and settings.unified and settings.slots > 1:
        return max(2 * settings.cells * u + 4 * u * UNIFIED_MINIMAX[backend], _logits(model, settings, backend))
    slope = SPARSE_SLOPES.get(architecture, SPARSE_SLOPE)
    line = 2 * PROBE_CELLS * u + round(slope * (settings.cells - PROBE_CELLS) * u) + _peak(width(model, f"{backend}_w"), settings)
    return max(line, _logits(model, settings, backend))
