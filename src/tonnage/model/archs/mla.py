"""Multi-head latent attention (MLA) and DeepSeek's sparse indexer: what their families share.

The converter absorbs the up-projection of keys and values, so that all heads read one latent per
token (llama.cpp build 11434, conversion/deepseek.py).
"""

from typing import Any

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Indexer, Latent, Tensor


def attention(config: Config) -> list[Tensor]:
    """Queries, in two steps where there is a rank, the latent of keys and values, their heads, the output."""
    d, heads, rank = config.n_embd, config.n_head, kv_lora_rank(config)
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    return [
        *_queries(config, heads * (nope + rope)),
        parts.matrix("attn_kv_a_mqa", d, rank + rope),
        parts.norm("attn_kv_a_norm", rank),
        parts.matrix("attn_k_b", nope, rank, heads),
        parts.matrix("attn_v_b", rank, value, heads),
        parts.matrix("attn_output", heads * value, d),
    ]


def _queries(config: Config, width: int) -> list[Tensor]:
    d, rank = config.n_embd, config.get("q_lora_rank")
    if rank is None:
        return [parts.matrix("attn_q", d, width)]
    return [parts.matrix("attn_q_a", d, rank), parts.norm("attn_q_a_norm", rank), parts.matrix("attn_q_b", rank, width)]


def indexer(config: Config) -> list[Tensor]:
    """The lightning indexer of DeepSeek's sparse attention (DSA): one key per token, several query heads."""
    d, heads, head_dim = config.n_embd, config["index_n_heads"], config["index_head_dim"]
    return [
        parts.norm("indexer.k_norm", head_dim),
        parts.vector("indexer.k_norm.bias", head_dim),
        parts.vector("indexer.proj.weight", d, heads),
        parts.matrix("indexer.attn_k", d, head_dim),
        parts.matrix("indexer.attn_q_b", config["q_lora_rank"], heads * head_dim),
    ]


def kv_lora_rank(config: Config) -> int:
    """Width of the latent without its rotated part; 512 where the config is silent, as in the converter."""
    return int(config.get("kv_lora_rank", 512))


def hparams(config: Config) -> dict[str, Any]:
    """The metadata of MLA; one KV head, as the latent is served to all heads."""
    rank, rope = kv_lora_rank(config), config["qk_rope_head_dim"]
    return {
        "attention__head_count_kv": 1,
        "attention__q_lora_rank": config.get("q_lora_rank"),
        "attention__kv_lora_rank": rank,
        "attention__key_length": rank + rope,
        "attention__value_length": rank,
        "attention__key_length_mla": config["qk_nope_head_dim"] + rope,
        "attention__value_length_mla": config["v_head_dim"],
    }


def moe_hparams(config: Config) -> dict[str, Any]:
    """The metadata of DeepSeek's feed-forward parts."""
    return {
        "leading_dense_block_count": parts.leading_dense(config),
        "expert_feed_forward_length": config.get("n_ff_exp", config.get("n_ff")),
        "expert_shared_count": config.get("n_expert_shared", 0),
    }


def indexer_hparams(config: Config) -> dict[str, Any]:
    """The metadata of the indexer."""
    return {
        "attention__indexer__head_count": config["index_n_heads"],
        "attention__indexer__key_length": config["index_head_dim"],
        "attention__indexer__top_k": config["index_topk"],
    }


def latent(hp: Hparams, indexer: Indexer | None = None) -> Latent:
    """The mixer of a block with MLA: what is remembered per token is as wide as the served key."""
    heads = max(int(n) for n in hp.per_layer("attention.head_count", 0))
    return Latent(heads, hp.k_dim, int(hp.need("attention.kv_lora_rank")), indexer)
