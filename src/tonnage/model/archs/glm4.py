"""GLM-4, dense: norms on both sides of each part, gate and up in one matrix."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/glm.py does it (Glm4Model)."""
    d = config.n_embd
    attention = parts.gqa(d, config.n_head, config.kv_heads, config.k_dim, bias=bool(config.get("attention_bias")))
    ffn = [parts.matrix("ffn_up", d, 2 * config.n_ff), parts.matrix("ffn_down", config.n_ff, d)]
    return Checkpoint("glm4", parts.base_hparams(config), parts.stack(config, [parts.sandwich_block(d, attention, ffn)] * config.n_layer))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
