"""MiniMax M2, and M3 with its block-sparse attention (MSA)."""

from typing import Any

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Indexer, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/minimax.py does it (MiniMaxM2Model, MiniMaxM3Model)."""
    sparse = config.get("sparse_attention_config")
    more = _sparse_hparams(config, sparse) if sparse else {}
    hparams = parts.base_hparams(config, expert_feed_forward_length=config["intermediate_size"], **more)
    blocks = (_sparse_block(config, sparse, i) if sparse else _block(config) for i in range(config.n_layer))
    return Checkpoint("minimax-m3" if sparse else "minimax-m2", hparams, parts.stack(config, blocks))


def _block(config: Config) -> list[Tensor]:
    """M2: one norm over all heads of queries and one over those of keys."""
    ffn = [*parts.gated_experts(config.n_embd, config.n_ff, config.n_expert), parts.vector("exp_probs_b.bias", config.n_expert)]
    norms = parts.qk_norms(config.n_head * config.k_dim, config.kv_heads * config.k_dim)
    return [*parts.pre_norm_block(config, ffn), *norms]


def _sparse_block(config: Config, sparse: dict[str, Any], i: int) -> list[Tensor]:
    """M3: norms per head, dense feed-forward parts first, an indexer where attention is sparse."""
    ffn = parts.gated_ffn(config.n_embd, config.n_ff) if i < parts.leading_dense(config) else _moe(config)
    indexer = _indexer(config.n_embd, sparse) if sparse["sparse_attention_freq"][i] else []
    return [*parts.pre_norm_block(config, ffn, qk_norm=True), *indexer]


def _moe(config: Config) -> list[Tensor]:
    """Experts as wide as `intermediate_size`, which is not the dense width here."""
    d, width = config.n_embd, config["intermediate_size"]
    return [
        *parts.gated_experts(d, width, config.n_expert),
        parts.vector("exp_probs_b.bias", config.n_expert),
        *parts.gated_ffn(d, config.n_expert_shared * width, "_shexp"),
    ]


def _indexer(d: int, sparse: dict[str, Any]) -> list[Tensor]:
    """Small enough that the converter keeps it F32."""
    heads, width = sparse["sparse_num_index_heads"], sparse["sparse_index_dim"]
    return [
        parts.vector("indexer.q_proj.weight", d, heads * width),
        parts.vector("indexer.k_proj.weight", d, width),
        parts.norm("indexer.q_norm", width),
        parts.norm("indexer.k_norm", width),
    ]


def _sparse_hparams(config: Config, sparse: dict[str, Any]) -> dict[str, Any]:
    return {
        "expert_shared_count": config.n_expert_shared,
        "leading_dense_block_count": parts.leading_dense(config),
        "attention__indexer__head_count": sparse["sparse_num_index_heads"],
        "attention__indexer__key_length": sparse["sparse_index_dim"],
        "attention__indexer__top_k": sparse["sparse_topk_blocks"],
        "attention__indexer__block_size": sparse["sparse_block_size"],
        "attention__indexer__local_blocks": sparse["sparse_local_block"],
    }


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere; M3's layers with experts keep an indexer key and a value beside it."""
    width = int(hp.get("attention.indexer.key_length") or 0)
    # its cache is a copy of the main one's shape but for the key, so a value of one head comes along (llama_kv_cache_msa)
    indexer = Indexer(width, hp.v_dim) if width else None
    n_dense = int(hp.get("leading_dense_block_count") or 0)
    heads, kv_heads = hp.per_layer("attention.head_count"), hp.per_layer("attention.head_count_kv")

    def mixer(i: int) -> Attention:
        return Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim, indexer=indexer if i >= n_dense else None)

    return parts.mixer_layers(hp, mixer)
