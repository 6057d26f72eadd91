"""OLMo 2 and 3: norms behind each part and over all heads; OLMo 3 windows three blocks of four."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/olmo.py does it (Olmo2Model)."""
    hparams = parts.base_hparams(
        config,
        attention__sliding_window=config.get("window"),
        attention__sliding_window_pattern=_pattern(config) if "window" in config else None,
    )
    return Checkpoint("olmo2", hparams, parts.stack(config, [_block(config)] * config.n_layer))


def _pattern(config: Config) -> list[bool]:
    return parts.sliding_pattern(config) or [(i + 1) % 4 != 0 for i in range(config.n_layer)]


def _block(config: Config) -> list[Tensor]:
    d, heads, kv_heads, head_dim = config.n_embd, config.n_head, config.kv_heads, config.k_dim
    attention = [*parts.gqa(d, heads, kv_heads, head_dim), *parts.qk_norms(heads * head_dim, kv_heads * head_dim)]
    return parts.post_norm_block(d, attention, parts.gated_ffn(d, config.n_ff))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows as the metadata list them, else all but every fourth; none where the file names no window."""
    return parts.attention_layers(hp, parts.windows(hp, 4))
