"""Llama and what is built like it: Llama 1 to 3, Mistral, Mixtral, MiniCPM 5, Mistral 3 and Ministral."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/llama.py and mistral3.py do it (LlamaModel, Ministral3Model)."""
    # transformers' classes, Mixtral's excepted, fill in head_dim before the converter looks
    head_dim = config.get("head_dim") if "mixtral" in config.model_types else config.k_dim
    hparams = parts.base_hparams(config, attention__key_length=head_dim, attention__value_length=head_dim)
    tensors = parts.stack(config, [_block(config)] * config.n_layer, *parts.rope_freqs(config))
    return Checkpoint(_architecture(config), hparams, tensors)


def _architecture(config: Config) -> str:
    """`mistral3` for what comes wrapped for vision, and for Ministral 3 without vision."""
    return "mistral3" if {"mistral3", "ministral3"} & set(config.model_types) else "llama"


def _block(config: Config) -> list[Tensor]:
    d, ff = config.n_embd, config.n_ff
    ffn = parts.gated_experts(d, ff, config.n_expert) if "n_expert" in config else parts.gated_ffn(d, ff)
    return parts.pre_norm_block(config, ffn, bias=bool(config.get("attention_bias")))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere: llama.cpp ignores Mistral 7B's window."""
    return parts.attention_layers(hp)
