"""ERNIE 4.5, dense and MoE."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/ernie.py does it (Ernie4_5Model, Ernie4_5MoeModel); MTP is left out."""
    moe = "n_expert" in config
    tensors = parts.stack(config, (_block(config, moe and _is_sparse(config, i)) for i in range(config.n_layer)))
    return Checkpoint("ernie4_5-moe" if moe else "ernie4_5", _moe_hparams(config) if moe else parts.base_hparams(config), tensors)


def _moe_hparams(config: Config) -> dict[str, object]:
    n_shared = config.get("n_expert_shared")
    # the converter's own formula: the dense width over the KV heads, right for the models that have shared experts
    shared_width = config["intermediate_size"] // config.kv_heads if n_shared else None
    return parts.base_hparams(
        config,
        interleave_moe_layer_step=config.get("moe_layer_interval", 1),
        leading_dense_block_count=config.n_dense_first,
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_count=n_shared,
        expert_shared_feed_forward_length=shared_width,
    )


def _is_sparse(config: Config, i: int) -> bool:
    """Whether block `i` has experts (Ernie4_5_MoeDecoderLayer, transformers 5.23)."""
    last = config.get("moe_layer_end_index", -1) % config.n_layer
    return bool((i + 1) % config.get("moe_layer_interval", 1) == 0 and config.n_dense_first <= i <= last)


def _block(config: Config, sparse: bool) -> list[Tensor]:
    d, bias = config.n_embd, bool(config.get("use_bias"))
    return parts.pre_norm_block(config, _moe(config) if sparse else parts.gated_ffn(d, config.n_ff), bias=bias)


def _moe(config: Config) -> list[Tensor]:
    """Experts whose choice has a correction bias, and shared ones that run for every token."""
    d, n_shared = config.n_embd, int(config.get("n_expert_shared", 0))
    return [
        *parts.gated_experts(d, config.n_ff_exp, config.n_expert),
        parts.vector("exp_probs_b.bias", config.n_expert, 1),
        *(parts.gated_ffn(d, n_shared * config.n_ff_exp, "_shexp") if n_shared else []),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
