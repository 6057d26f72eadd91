"""Apertus: norms on queries and keys, and xIELU without a gate; its four activation constants are metadata."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/llama.py does it (ApertusModel)."""
    block = parts.pre_norm_block(config, parts.ungated_ffn(config.n_embd, config.n_ff), bias=bool(config.get("attention_bias")), qk_norm=True)
    return Checkpoint("apertus", parts.base_hparams(config), parts.stack(config, [block] * config.n_layer, *_rope_freqs(config)))


def _rope_freqs(config: Config) -> tuple[Tensor, ...]:
    # Llama 3 scaling is the class's default: a config that says nothing of it means it (ApertusConfig, transformers 5.23).
    silent = not (config.get("rope_parameters") or config.get("rope_scaling"))
    return (parts.vector("rope_freqs.weight", config.k_dim // 2),) if silent else parts.rope_freqs(config)


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
