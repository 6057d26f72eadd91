"""GLM-4.5, 4.6, 4.7 and Air, Solar Open: grouped-query attention, experts from the second or fourth layer on."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor

NEXTN_WITHOUT_COPIES = ("zai-org/GLM-4.6",)
"""Uploads whose multi-token-prediction block holds no copies of embedding and head; the config cannot tell.

By the hub's totals: 356,785,898,816 for GLM-4.6 against 358,337,791,296 for GLM-4.5 and 4.7.
"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/glm.py does it (Glm4MoeModel, SolarOpenModel)."""
    n_nextn = int(config.get("n_nextn", 0))
    n_layer, n_dense = config.n_layer + n_nextn, config.get("n_dense_first", 0)
    hparams = parts.base_hparams(
        config,
        block_count=n_layer,
        nextn_predict_layers=n_nextn or None,
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_count=config.get("n_expert_shared"),
        leading_dense_block_count=config.get("n_dense_first"),
    )
    blocks = (_block(config, dense=i < n_dense, nextn=i >= config.n_layer) for i in range(n_layer))
    return Checkpoint("glm4moe", hparams, parts.stack(config, blocks))


def _block(config: Config, *, dense: bool, nextn: bool) -> list[Tensor]:
    d = config.n_embd
    return [
        parts.norm("attn_norm", d),
        *parts.gqa(d, config.n_head, config.kv_heads, config.k_dim, bias=bool(config.get("attention_bias"))),
        *(parts.qk_norms(config.k_dim) if config.get("use_qk_norm") else []),
        parts.norm("post_attention_norm", d),
        *(parts.gated_ffn(d, config.n_ff) if dense else parts.moe(config)),
        *(_nextn(config) if nextn else []),
    ]


def _nextn(config: Config) -> list[Tensor]:
    copies = [] if config.get("_name_or_path") in NEXTN_WITHOUT_COPIES else parts.nextn_copies(config)
    return [*parts.nextn_head(config.n_embd), *copies]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere."""
    return parts.attention_layers(hp)
