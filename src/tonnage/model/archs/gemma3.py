"""Gemma 3: Gemma 2's block with norms on queries and keys, five windowed blocks to each full one."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor

DEFAULTS = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "vocab_size": 262208,
    "tie_word_embeddings": True,
}
"""Gemma3TextConfig of transformers 5.23: the published configs leave out what equals it."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/gemma.py does it (Gemma3Model)."""
    config = parts.with_defaults(config, **DEFAULTS)
    windowed = config.get("sliding_window_pattern") != 1
    hparams = parts.base_hparams(config, attention__sliding_window=config.window if windowed else None)
    block = parts.sandwich_block(config.n_embd, attention(config), parts.gated_ffn(config.n_embd, config.n_ff))
    return Checkpoint("gemma3", hparams, parts.stack(config, [block] * config.n_layer))


def attention(config: Config) -> list[Tensor]:
    """Projections, and norms that all heads share."""
    return [*parts.gqa(config.n_embd, config.n_head, config.kv_heads, config.k_dim), *parts.qk_norms(config.k_dim)]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every sixth block is full; all are where the file names no window."""
    return parts.attention_layers(hp, parts.windows(hp, 6))
