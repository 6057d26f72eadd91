"""Caches that grow in steps, and what a chunk of the prompt needs besides."""

from tonnage.engines.mlx.settings import STEP, Settings
from tonnage.model.states import state_of
from tonnage.model.types import Attention, Latent, Model, Recurrent
from tonnage.units import pad

HIDDEN_COPIES = 4
"""hidden states that are alive beside the logits"""


def cache_bytes(model: Model, settings: Settings) -> tuple[int, int]:
    """(keys and values, states) of one sequence that fills the context."""
    mixers = [mixer for layer in model.layers if not layer.nextn for mixer in layer.mixers]
    kv = sum(_growing(mixer, settings) for mixer in mixers)
    state = sum(state_bytes(model, mixer) for mixer in mixers if isinstance(mixer, Recurrent))
    return kv, state


def rows_of(mixer: Attention | Latent, settings: Settings) -> int:
    """Tokens that a layer has room for: whole steps; a ring of the window, and a chunk less one while the prompt is read."""
    window = mixer.window if isinstance(mixer, Attention) and not mixer.chunked else 0
    if window and settings.context > window:
        return min(settings.context, window + settings.chunk - 1)
    return pad(settings.context, STEP)


def _growing(mixer: object, settings: Settings) -> int:
    if isinstance(mixer, Attention) and mixer.kv_layer is None and mixer.kv_heads:
        # a ring is never quantised
        bits = 16.0 if mixer.window else settings.kv_bits
        return round(mixer.kv_heads * (mixer.k_dim + mixer.v_dim) * rows_of(mixer, settings) * bits / 8)
    if isinstance(mixer, Latent):
        return mixer.width * rows_of(mixer, settings) * 2
    return 0


def state_bytes(model: Model, mixer: Recurrent) -> int:
    """A convolution's tail of one column fewer than taps in 16 bits, and the state in F32."""
    state = state_of(model, mixer)
    return (state.kernel - 1) * sum(segment.rows for segment in state.channels) * 2 + 4 * state.elements


def peak_bytes(model: Model, settings: Settings) -> int:
    """A chunk of the prompt with the logits of all its tokens, as public peaks show; generate.py itself reads the last token's alone."""
    tokens = min(settings.context, settings.chunk)
    return tokens * 2 * (model.n_vocab + HIDDEN_COPIES * model.n_embd) * settings.users
