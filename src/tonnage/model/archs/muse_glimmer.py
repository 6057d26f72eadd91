"""Muse Glimmer: norms on both sides of each part, a gate on attention's output, three windowed blocks of four."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/muse_glimmer.py does it: the scale of queries becomes norms, which the checkpoint lacks."""
    d, heads, head_dim = config.n_embd, config.n_head, config.k_dim
    hparams = parts.base_hparams(
        config,
        attention__sliding_window=config.window,
        attention__sliding_window_pattern=parts.sliding_pattern(config),
    )
    attention = [
        *parts.gqa(d, heads, config.kv_heads, head_dim),
        *parts.qk_norms(head_dim),
        parts.matrix("attn_gate", d, heads * head_dim),
    ]
    block = parts.sandwich_block(d, attention, parts.gated_ffn(d, config.n_ff))
    return Checkpoint("muse-glimmer", hparams, parts.stack(config, [block] * config.n_layer))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows as the metadata list them, else all but every fourth."""
    return parts.attention_layers(hp, parts.windows(hp, 4))
