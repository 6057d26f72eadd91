"""The peak of a forward pass over the prompt: what is alive besides weights and cache where a layer is at its widest.

Fitted to Transformers 5.23 run on a CPU in BF16 (20 rows of tests/data/torch-cases.json.gz): dense layers to the byte,
experts from one shape, gated delta nets for the fallback without kernels.
"""

from tonnage.answer import Band, Part
from tonnage.engines.transformers.settings import Settings
from tonnage.model.states import state_of
from tonnage.model.types import Attention, Dense, Experts, Latent, Layer, Model, Recurrent

POSITIONS = 8
"""bytes of a token's position"""
DELTA_BYTES = 110_057 / (16 * 128)
"""bytes per token and value element of a gated delta net in PyTorch's own operations (chunks in F32)"""
ROUTER_BYTES = 12
"""per token and expert"""
BANDS = {"sdpa": 0.10, "eager": 0.05, "flash_attention_2": 0.10}
"""shares by which a GPU's allocator and workspaces may differ"""
EXPERT_BAND, DELTA_BAND = 0.25, 0.7
"""shares for layers that one shape was measured of; a delta net's kernel takes that much less"""


def layer_peak(model: Model, layer: Layer, tokens: int, attention: str) -> int:
    """Bytes for one sequence of `tokens` in one layer."""
    head = max((_head(mixer) for mixer in layer.mixers), default=0)
    wide = tokens * (2 * (_ffn(layer, model.n_embd) + 4 * model.n_embd + 2 * head) + _router(layer) + POSITIONS)
    return max(wide, *(_mixer(model, mixer, tokens, attention) for mixer in layer.mixers), 0)


def prefill_peak(model: Model, tokens: int, sequences: int, attention: str, *, all_logits: bool = False) -> int:
    """Bytes above weights and cache; `generate` keeps the logits of the last token alone, a plain forward pass those of all."""
    layers = {layer for layer in model.layers if not layer.nextn}
    widest = max(layer_peak(model, layer, tokens, attention) for layer in layers)
    logits = tokens * 2 * (model.n_vocab + model.n_embd) if all_logits else 0
    return sequences * max(widest, logits)


def activations(model: Model, settings: Settings) -> Part:
    """The part of an answer, with its band."""
    peak = prefill_peak(model, settings.context, settings.users, settings.attention)
    low = high = BANDS[settings.attention]
    if any(isinstance(layer.ffn, Experts) for layer in model.layers):
        low, high = max(low, EXPERT_BAND), max(high, EXPERT_BAND)
    if any(isinstance(mixer, Recurrent) for layer in model.layers for mixer in layer.mixers):
        low = DELTA_BAND
    return Part("activations", peak, "fitted", Band(-round(low * peak), round(high * peak)), "activations")


def _ffn(layer: Layer, hidden: int) -> int:
    """Elements per token of the feed-forward part: gate, up and their product, of each expert that a token runs through."""
    if isinstance(layer.ffn, Experts):
        return layer.ffn.used * (2 * hidden + 4 * layer.ffn.width) + 3 * layer.ffn.shared_width
    return 3 * layer.ffn.width if isinstance(layer.ffn, Dense) else 0


def _router(layer: Layer) -> int:
    return ROUTER_BYTES * layer.ffn.count if isinstance(layer.ffn, Experts) else 0


def _head(mixer: object) -> int:
    if isinstance(mixer, Attention):
        return mixer.k_dim
    return mixer.width - mixer.kv_lora_rank if isinstance(mixer, Latent) else 0


def _mixer(model: Model, mixer: object, tokens: int, attention: str) -> int:
    if isinstance(mixer, Attention | Latent) and attention == "eager":
        # scores in 16 bit, as F32 and after the softmax in F32, and a mask
        return tokens**2 * (10 * mixer.heads + 2) + tokens * (2 * (6 * model.n_embd + 2 * _head(mixer)) + POSITIONS)
    if isinstance(mixer, Recurrent):
        state = state_of(model, mixer)
        return round(DELTA_BYTES * state.channels[-1].rows * tokens) + 4 * state.elements
    return 0
