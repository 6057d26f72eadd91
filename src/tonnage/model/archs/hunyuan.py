"""Hunyuan V1, dense and MoE: norms on queries and keys."""

from typing import Any

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/hunyuan.py does it (HunYuanModel, HunYuanMoEModel)."""
    return _convert_moe(config) if "hunyuan_v1_moe" in config.model_types else _convert_dense(config)


def _convert_dense(config: Config) -> Checkpoint:
    # some dense configs say num_experts = 1, which the converter drops
    hparams = parts.base_hparams(config, expert_count=None, expert_used_count=None, context_length=_context(config))
    block = _block(config, parts.gated_ffn(config.n_embd, config.n_ff))
    return Checkpoint("hunyuan-dense", hparams, parts.stack(config, [block] * config.n_layer))


def _convert_moe(config: Config) -> Checkpoint:
    d, width, n_shared = config.n_embd, _first(config.n_ff_exp), _first(config.n_expert_shared)
    hparams = parts.base_hparams(
        config,
        context_length=_context(config),
        expert_used_count=_first(config.n_expert_used),
        expert_feed_forward_length=width,
        expert_shared_count=n_shared,
        expert_shared_feed_forward_length=config.n_ff,
    )
    ffn = [*parts.gated_experts(d, width, config.n_expert), *parts.gated_ffn(d, n_shared * config.n_ff, "_shexp")]
    return Checkpoint("hunyuan-moe", hparams, parts.stack(config, [_block(config, ffn)] * config.n_layer))


def _block(config: Config, ffn: list[Tensor]) -> list[Tensor]:
    return parts.pre_norm_block(config, ffn, bias=bool(config.get("attention_bias")), qk_norm=True)


def _context(config: Config) -> Any:
    """The context: where the rope is "dynamic" the converter writes 256K, whatever the config says."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return 256 * 1024 if rope.get("rope_type", rope.get("type")) == "dynamic" else config.get("n_ctx_train")


def _first(value: Any) -> int:
    """A number that published configs repeat for every layer."""
    return int(value[0] if isinstance(value, list) else value)


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
