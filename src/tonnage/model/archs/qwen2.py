"""Qwen2, Qwen2.5, QwQ and the text model of Qwen2-VL and Qwen2.5-VL: biases on queries, keys and values."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/qwen.py and qwenvl.py do it (Qwen2Model, Qwen2VLModel)."""
    block = parts.pre_norm_block(config, parts.gated_ffn(config.n_embd, config.n_ff), bias=True)
    vision = any("_vl" in model_type for model_type in config.model_types)
    tensors = parts.stack(config, [block] * config.n_layer)
    return Checkpoint("qwen2vl" if vision else "qwen2", parts.base_hparams(config), tensors)


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere: the loader knows no window, whatever `use_sliding_window` says."""
    return parts.attention_layers(hp)
