"""Mellum 2: Qwen3's MoE block, with three windowed layers to each full one."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/mellum.py does it."""
    window = config.get("window") if config.get("use_sliding_window", True) else None
    hparams = parts.base_hparams(
        config,
        expert_feed_forward_length=config.n_ff_exp,
        attention__sliding_window=window,
        attention__sliding_window_pattern=[kind == "sliding_attention" for kind in config["layer_types"]] if window else None,
    )
    block = parts.pre_norm_block(config, parts.gated_experts(config.n_embd, config.n_ff_exp, config.n_expert), qk_norm=True)
    return Checkpoint("mellum", hparams, parts.stack(config, [block] * config.n_layer))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows as the metadata list them, else all but every fourth."""
    return parts.attention_layers(hp, parts.windows(hp, 4))
