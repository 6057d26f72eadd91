"""SmolLM3: Llama with every fourth layer left without rotary embedding, which no size depends on."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/llama.py does it (SmolLM3Model)."""
    block = parts.pre_norm_block(config, parts.gated_ffn(config.n_embd, config.n_ff), bias=bool(config.get("attention_bias")))
    tensors = parts.stack(config, [block] * config.n_layer, *parts.rope_freqs(config))
    return Checkpoint("smollm3", parts.base_hparams(config), tensors)


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere: the loader knows no window."""
    return parts.attention_layers(hp)
