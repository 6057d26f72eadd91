"""Multi-head latent attention without an indexer: DeepSeek V2 to V3.1 and R1, Kimi K2, GLM-4.7-Flash, Mistral 4."""

from tonnage.model.archs import mla, parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor

NEXTN_KEPT = ("glm4_moe_lite",)
"""model_types whose multi-token-prediction blocks the converter keeps (Glm4MoeLiteModel); DeepseekV2Model drops them"""

NEXTN_UNSAID = {"glm4_moe_lite": 1}
"""Blocks of multi-token prediction where the config is silent.

transformers' Glm4MoeLiteConfig has no such field; the hub's total of GLM-4.7-Flash, 31,221,488,576,
is that of 47 layers and one such block with its copies of embedding and head.
"""

UNBIASED = ("deepseek_v2", "mistral4")
"""model_types that choose their experts by softmax, without a correction bias (transformers 5.23)"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/deepseek.py, glm.py and mistral3.py do it (DeepseekV2Model and its children)."""
    n_nextn = _nextn(config)
    n_layer, n_dense = config.n_layer + n_nextn, parts.leading_dense(config)
    hparams = parts.base_hparams(config, block_count=n_layer, nextn_predict_layers=n_nextn or None, **mla.hparams(config), **mla.moe_hparams(config))
    blocks = (_block(config, dense=i < n_dense, nextn=i >= config.n_layer) for i in range(n_layer))
    return Checkpoint("mistral4" if _is(config, "mistral4") else "deepseek2", hparams, parts.stack(config, blocks))


def _is(config: Config, *model_types: str) -> bool:
    return any(t in model_types for t in config.model_types)


def _nextn(config: Config) -> int:
    """Blocks of multi-token prediction that the converter keeps."""
    if not _is(config, *NEXTN_KEPT):
        return 0
    return int(config.get("n_nextn", max(NEXTN_UNSAID.get(t, 0) for t in config.model_types)))


def _block(config: Config, *, dense: bool, nextn: bool) -> list[Tensor]:
    d = config.n_embd
    ffn = parts.gated_ffn(d, config.n_ff) if dense else _moe(config)
    more = [*parts.nextn_head(d), *parts.nextn_copies(config)] if nextn else []
    return [parts.norm("attn_norm", d), *mla.attention(config), parts.norm("ffn_norm", d), *ffn, *more]


def _moe(config: Config) -> list[Tensor]:
    if _is(config, "mistral4"):
        return _fused_moe(config)
    bias = not _is(config, *UNBIASED) and config.get("topk_method", "noaux_tc") == "noaux_tc"
    return parts.moe(config, selection_bias=bias)


def _fused_moe(config: Config) -> list[Tensor]:
    """Mistral 4's experts, whose gate and up come and stay in one tensor (Mistral4Model)."""
    d, width, n_expert = config.n_embd, config.n_ff_exp, config.n_expert
    return [
        parts.vector("ffn_gate_inp.weight", d, n_expert),
        parts.matrix("ffn_gate_up_exps", d, 2 * width, n_expert),
        parts.matrix("ffn_down_exps", width, d, n_expert),
        *parts.gated_ffn(d, config.n_expert_shared * width, "_shexp"),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """A latent per token in every layer."""
    return parts.mixer_layers(hp, lambda i: mla.latent(hp))
