"""Bytes of the cache object, layer by layer: what a DynamicCache of Transformers 5.23 stores after a forward pass."""

from tonnage.engines.transformers.build import Build
from tonnage.model.states import state_of
from tonnage.model.types import Attention, Indexer, Latent, Layer, Model, Recurrent

ELEMENT = 2
"""bytes of a cached element: the model's own 16-bit type"""
STATE_ELEMENT = 4
"""states proper are kept in F32"""


def layer_bytes(model: Model, layer: Layer, tokens: int, build: Build, *, prefilled: bool = False) -> tuple[int, int]:
    """(keys and values, state) of one layer and one sequence of `tokens`.

    With `prefilled` right after the prompt, when a sliding layer's whole buffer is alive until the first token is generated.
    """
    kv = sum(_growing(mixer, model, tokens, build, prefilled) for mixer in layer.mixers)
    state = sum(_state(model, mixer) for mixer in layer.mixers if isinstance(mixer, Recurrent))
    return kv, state


def cache_bytes(model: Model, tokens: int, build: Build, *, prefilled: bool = False) -> tuple[int, int]:
    """(keys and values, state) of all layers and one sequence; blocks of multi-token prediction are not loaded."""
    layers = [layer_bytes(model, layer, tokens, build, prefilled=prefilled) for layer in model.layers if not layer.nextn]
    return sum(kv for kv, _ in layers), sum(state for _, state in layers)


def _growing(mixer: object, model: Model, tokens: int, build: Build, prefilled: bool) -> int:
    if isinstance(mixer, Attention) and mixer.kv_layer is None:
        kept = tokens if prefilled or not mixer.window or mixer.chunked else min(tokens, mixer.window)
        return mixer.kv_heads * (mixer.k_dim + mixer.v_dim) * kept * ELEMENT + _indexed(mixer.indexer, tokens)
    if isinstance(mixer, Latent):
        return _latent_width(mixer, model, build) * tokens * ELEMENT + _indexed(mixer.indexer, tokens)
    return 0


def _indexed(indexer: Indexer | None, tokens: int) -> int:
    return (indexer.k_width + indexer.v_width) * tokens * ELEMENT if indexer else 0


def _latent_width(mixer: Latent, model: Model, build: Build) -> int:
    """The latent, or before 5.15 the keys and values that every head unpacks of it."""
    if build.latent_cache:
        return mixer.width
    head = int(model.hparams.get("attention.key_length_mla") or 0) + int(model.hparams.get("attention.value_length_mla") or 0)
    return mixer.heads * head


def _state(model: Model, mixer: Recurrent) -> int:
    """A convolution's last inputs, as many as it has taps, and the state."""
    state = state_of(model, mixer)
    channels = sum(segment.rows for segment in state.channels)
    return channels * state.kernel * ELEMENT + state.elements * STATE_ELEMENT
