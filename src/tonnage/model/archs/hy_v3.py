"""Hy3: norms on queries and keys, one leading dense layer, experts with a selection bias and a shared one, MTP."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, FeedForward, Layer, Tensor

LEADING_DENSE = 1
"""Dense blocks of a config that does not list them (HYV3Config, transformers 5.23), and of every file:
the converter writes no `leading_dense_block_count`, the loader takes the tensors that it finds."""

NEXTN = 1
"""Blocks of multi-token prediction of a config that does not say: what the upload of Hy3 holds (298,786,155,776 parameters)."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/hunyuan.py does it (HYV3Model)."""
    n_nextn = int(config.get("n_nextn", NEXTN))
    hparams = parts.base_hparams(
        config,
        block_count=config.n_layer + n_nextn,
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_feed_forward_length=_shared_width(config),
        nextn_predict_layers=n_nextn or None,
    )
    kinds = config.get("mlp_layer_types") or ["dense"] * LEADING_DENSE
    trunk = (_block(config, dense=kinds[i : i + 1] == ["dense"]) for i in range(config.n_layer))
    nextn = ([*_block(config, dense=False), *parts.nextn_head(config.n_embd)] for _ in range(n_nextn))
    notes = () if "n_nextn" in config else (f"{NEXTN} MTP block is counted: the config does not say how many the upload holds",)
    return Checkpoint("hy_v3", hparams, parts.stack(config, [*trunk, *nextn]), notes)


def _block(config: Config, dense: bool) -> list[Tensor]:
    ffn = parts.gated_ffn(config.n_embd, config.n_ff) if dense else _moe(config)
    return parts.pre_norm_block(config, ffn, bias=bool(config.get("attention_bias")), qk_norm=True)


def _moe(config: Config) -> list[Tensor]:
    d = config.n_embd
    return [
        *parts.gated_experts(d, config.n_ff_exp, config.n_expert),
        parts.vector("exp_probs_b", config.n_expert),
        *parts.gated_ffn(d, _shared_width(config), "_shexp"),
    ]


def _shared_width(config: Config) -> int:
    return int(config.n_ff_exp * config.get("n_expert_shared", 1))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp, ffn=_ffn)


def _ffn(hp: Hparams, i: int) -> FeedForward | None:
    return parts.ffn_of(Hparams({"leading_dense_block_count": LEADING_DENSE, **hp}), i)
