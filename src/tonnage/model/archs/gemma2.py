"""Gemma 2: norms on both sides of each part, every second block windowed."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer

WINDOW = 4096
"""The loader's window for files that name none (src/models/gemma2.cpp)."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/gemma.py does it (Gemma2Model): the head is never written."""
    d = config.n_embd
    hparams = parts.base_hparams(config, attention__head_count_kv=config.kv_heads, attention__sliding_window=config.window)
    block = parts.sandwich_block(d, parts.gqa(d, config.n_head, config.kv_heads, config.k_dim), parts.gated_ffn(d, config.n_ff))
    return Checkpoint("gemma2", hparams, parts.stack(config, [block] * config.n_layer, tied=True))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every second block is full."""
    return parts.attention_layers(hp, parts.windows(hp, 2, window=WINDOW))
