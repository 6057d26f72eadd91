"""Phi-3, 3.5 and 4: query, key and value in one matrix, gate and up in another."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/phi.py does it (Phi3MiniModel): no head width, and 0 for no window."""
    hparams = parts.base_hparams(
        config,
        attention__key_length=None,
        attention__value_length=None,
        attention__sliding_window=config.get("window", 0),
    )
    return Checkpoint("phi3", hparams, parts.stack(config, [_block(config)] * config.n_layer, *_rope_factors(config)))


def _rope_factors(config: Config) -> list[Tensor]:
    """Factors of long contexts, where the config lists them: one per rotated pair."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    named = {"rope_factors_long.weight": "long_factor", "rope_factors_short.weight": "short_factor"}
    return [parts.vector(name, len(rope[key])) for name, key in named.items() if rope.get("long_factor")]


def _block(config: Config) -> list[Tensor]:
    d, head_dim = config.n_embd, config.n_embd // config.n_head
    return [
        parts.norm("attn_norm", d),
        parts.matrix("attn_qkv", d, (config.n_head + 2 * config.kv_heads) * head_dim),
        parts.matrix("attn_output", config.n_head * head_dim, d),
        parts.norm("ffn_norm", d),
        parts.matrix("ffn_up", d, 2 * config.n_ff),
        parts.matrix("ffn_down", config.n_ff, d),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere: the loader switches windows off (src/models/phi3.cpp)."""
    return parts.attention_layers(hp)
