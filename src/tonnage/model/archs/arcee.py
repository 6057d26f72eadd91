"""Arcee (AFM): Llama with a feed-forward part of squared ReLU, which has no gate."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/llama.py does it (ArceeModel)."""
    block = parts.pre_norm_block(config, parts.ungated_ffn(config.n_embd, config.n_ff), bias=bool(config.get("attention_bias")))
    tensors = parts.stack(config, [block] * config.n_layer, *parts.rope_freqs(config))
    return Checkpoint("arcee", parts.base_hparams(config), tensors)


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
