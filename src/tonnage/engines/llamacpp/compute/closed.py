"""Closed forms of the compute buffers, calibrated by one measured peak per shape.

Symbols as in the engine's notes: U tokens of the reserved graph, d hidden width, V vocabulary,
O outputs, M bytes of all attention masks. Source: runs of build 11434; each regime's error is the
spread that was measured against the engine.
"""

from tonnage.answer import Band
from tonnage.engines.llamacpp.cache import window_cells
from tonnage.engines.llamacpp.compute.constants import SPARSE, Width, width
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.frozen import dataclass
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Compressed, Latent, Model, Recurrent
from tonnage.quant.types import block_type
from tonnage.units import pad


@dataclass(frozen=True, slots=True)
class Fitted:
    """Bytes and the band that the engine's own number was found in."""

    bytes: int
    error: Band


def compute_by_device(model: Model, settings: Settings, placement: Placement) -> dict[int, Fitted]:
    """Compute buffer of every device, the host as -1."""
    if not placement.devices:
        return {HOST: _banded(model, settings, _device(model, settings, "cpu"))}
    gpu = _banded(model, settings, _device(model, settings, "cuda"))
    host = _host(model, settings)
    return {**dict.fromkeys(range(placement.devices), gpu), HOST: Fitted(host, Band(-host // 100, host // 100))}


def _banded(model: Model, settings: Settings, nbytes: int) -> Fitted:
    low, high = _band(model, settings)
    return Fitted(nbytes, Band(-round(nbytes * low), round(nbytes * high)))


def _band(model: Model, settings: Settings) -> tuple[float, float]:
    """Shares of the number that the truth lies below and above, by regime."""
    if model.architecture in SPARSE:
        return 0.6, 1.0
    if not settings.kv_offload:
        return 0.5, 1.0
    if settings.profile == "tools" and width(model, "cuda_w").measured:
        return 0.015, 0.045
    measured = width(model, "cuda_w").measured
    if not settings.flash_attn:
        return (0.08, 0.08) if measured else (0.3, 0.3)
    if settings.type_k != "f16" or settings.type_v != "f16":
        return (0.03, 0.03) if measured else (0.2, 0.2)
    return (0.02, 0.02) if measured else (0.15, 0.2)


def _device(model: Model, settings: Settings, backend: str) -> int:
    if settings.flash_attn:
        return max(_flash(model, settings, backend), _logits(model, settings, backend))
    return _no_flash(model, settings, backend)


def _peak(w: Width, settings: Settings) -> int:
    return 4 * settings.tokens * w.floats + w.fixed


def masks(model: Model, settings: Settings) -> int:
    """M: one mask per kind of cache, F16 with flash attention, F32 without."""
    size = 2 if settings.flash_attn else 4
    return sum(size * cells * settings.tokens for cells in _mask_cells(model, settings))


def _mask_cells(model: Model, settings: Settings) -> tuple[int, ...]:
    windows = {m.window for layer in model.layers for m in layer.mixers if isinstance(m, Attention) and not layer.nextn}
    latent = any(isinstance(m, Latent | Compressed) for layer in model.layers for m in layer.mixers)
    full = (settings.cells,) if 0 in windows or latent else ()
    if any(windows):
        # a model with windows has both caches, also where no layer is full
        return settings.cells, *(window_cells(w, settings) for w in windows if w)
    return full


def _flash(model: Model, settings: Settings, backend: str) -> int:
    many = "_4slots" if settings.slots > 1 else ""
    base = masks(model, settings) + _peak(width(model, f"{backend}_w{many}"), settings) + _rotation(model, settings) * (backend == "cpu")
    base += _output_ids(settings) + _more_states(model, settings)
    if backend == "cpu" or (settings.type_k == "f16" and settings.type_v == "f16"):
        return base
    return max(base, masks(model, settings) + _peak(width(model, "cuda_w_attn_quant_kv"), settings) + _f16_copy(model, settings))


def _output_ids(settings: Settings) -> int:
    """Row numbers of the outputs: the measured peaks hold those of one output."""
    return max(0, pad(4 * settings.outputs, 128) - 128)


def _more_states(model: Model, settings: Settings) -> int:
    """Mamba 2 gathers the states of all slots; the measured peak holds one."""
    if model.architecture != "mamba2":
        return 0
    return (settings.slots - 1) * 4 * max(m.conv_elements + m.state_elements for x in model.layers for m in x.mixers if isinstance(m, Recurrent))


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
    m, u, d, o = masks(model, settings), settings.tokens, model.n_embd, settings.outputs
    logits = 4 * o * model.n_vocab
    if logits <= m + 8 * u * d:
        return 0
    states, index = (4, 8) if backend == "cuda" else (5, 10)
    return m + 4 * u * (states * d + index) + logits


def _no_flash(model: Model, settings: Settings, backend: str) -> int:
    """All scores of the layer with the most cells x query heads, in F32."""
    w = width(model, f"{backend}_w_fa_off")
    scores = max(
        (
            (window_cells(m.window, settings) if m.window else settings.cells) * m.heads
            for layer in model.layers
            for m in layer.mixers
            if isinstance(m, Attention)
        ),
        default=max((settings.cells * m.heads for x in model.layers for m in x.mixers if isinstance(m, Latent)), default=0),
    )
    attention = masks(model, settings) + 4 * scores * settings.tokens + _peak(w, settings)
    ffn = masks(model, settings) + _peak(width(model, f"{backend}_w"), settings)
    return max(attention, ffn, _logits(model, settings, backend))


def _rotation(model: Model, settings: Settings) -> int:
    """Hadamard matrices that turn keys and values before they are quantised."""
    hp = Hparams(model.hparams)
    if any(isinstance(m, Latent | Compressed) for layer in model.layers for m in layer.mixers) or not hp.get("attention.head_count"):
        return 0
    caches = max(len(_mask_cells(model, settings)), 1)
    k = 4 * (hp.k_dim & -hp.k_dim) ** 2 if _turned(settings.type_k) else 0
    return caches * (k + (4 * 64 * 64 if _turned(settings.type_v) else 0))


def _turned(kind: str) -> bool:
    return block_type(kind).elements > 1


def _host(model: Model, settings: Settings) -> int:
    """Pinned host memory: masks and all other inputs of the graph."""
    u, d, o = settings.tokens, model.n_embd, settings.outputs
    caches = len(_mask_cells(model, settings))
    latent = any(isinstance(m, Latent) for layer in model.layers for m in layer.mixers)
    index = 4 + _positions(model) + caches * (2 if latent else 4) + (model.architecture in ("gemma3", "gemma4", "llama4"))
    recurrent = any(isinstance(m, Recurrent) for layer in model.layers for m in layer.mixers)
    state = pad(4 * settings.slots, 32) if recurrent else 0
    v_index = 0
    if not settings.flash_attn and not latent:
        v_max = max((m.v_dim * m.kv_heads for x in model.layers for m in x.mixers if isinstance(m, Attention)), default=0)
        v_index = caches * 8 * u * (v_max - 1) if v_max else 0
    return masks(model, settings) + 16 * u * d + 4 * u * index + pad(4 * o, 32) + state + _rotation(model, settings) + v_index


def _positions(model: Model) -> int:
    """Position inputs per token: four with mrope, none where nothing is rotated."""
    if model.architecture.startswith(("nemotron_h", "kimi", "mamba")):
        return 0
    return 4 if "rope.dimension_sections" in model.hparams else 1
