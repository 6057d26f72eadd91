"""Qwen3, dense and MoE, and the text models of Qwen3-VL: norms on queries and keys."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor

TIED_HEAD_STORED = {(1024, 28, 40960): "Qwen3-0.6B", (2048, 28, 40960): "Qwen3-1.7B"}
"""(embedding, layers, context) -> upload that holds the tied head a second time; the converter keeps it.

Source: the hub's parameter totals, 751,632,384 and 2,031,739,904, which count the embedding twice.
"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/qwen.py and qwen3vl.py do it (Qwen3Model, Qwen3MoeModel, Qwen3VL...)."""
    moe = "n_expert" in config
    deepstack = _deepstack_layers(config)
    hparams = parts.base_hparams(config, expert_feed_forward_length=config.get("n_ff_exp") if moe else None, n_deepstack_layers=deepstack)
    twice = _upload_with_second_head(config) if deepstack is None else None
    notes = (f"output.weight is counted: {twice} was published with its tied head stored twice; a copy without it is smaller",) if twice else ()
    tensors = parts.stack(config, [_block(config)] * config.n_layer, tied=config.is_tied and not twice)
    architecture = "qwen3" + ("" if deepstack is None else "vl") + ("moe" if moe else "")
    return Checkpoint(architecture, hparams, tensors, notes)


def _block(config: Config) -> list[Tensor]:
    d = config.n_embd
    ffn = parts.gated_experts(d, config.n_ff_exp, config.n_expert) if "n_expert" in config else parts.gated_ffn(d, config.n_ff)
    return parts.pre_norm_block(config, ffn, bias=bool(config.get("attention_bias")), qk_norm=True)


def _deepstack_layers(config: Config) -> int | None:
    """Layers that take image features beside the hidden state; None for a model without vision."""
    if not any("_vl" in model_type for model_type in config.model_types):
        return None
    return len((config.get("vision_config") or {}).get("deepstack_visual_indexes", ()))


def _upload_with_second_head(config: Config) -> str | None:
    """The published checkpoint of this shape that stores `lm_head` although it is tied."""
    return TIED_HEAD_STORED.get((config.n_embd, config.n_layer, config.get("n_ctx_train"))) if config.is_tied else None


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
