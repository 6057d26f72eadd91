"""Seed-OSS: biases on queries, keys and values, and the second norm under its post-attention name."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/olmo.py does it (SeedOssModel)."""
    return Checkpoint("seed_oss", parts.base_hparams(config), parts.stack(config, [_block(config)] * config.n_layer))


def _block(config: Config) -> list[Tensor]:
    d = config.n_embd
    bias, out_bias = bool(config.get("attention_bias")), bool(config.get("attention_out_bias"))
    attention = parts.gqa(d, config.n_head, config.kv_heads, config.k_dim, bias=bias, out_bias=out_bias)
    return [parts.norm("attn_norm", d), *attention, parts.norm("post_attention_norm", d), *parts.gated_ffn(d, config.n_ff)]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
