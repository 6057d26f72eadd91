"""DeepSeek V4: compressed attention over a short window, hash-routed first layers, hyper-connections."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Compressed, Layer, Tensor

INDEXED_RATIO = 4
"""Tokens per compressed entry in the layers that choose entries by an indexer; the other ratio, 128, attends to all"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/deepseek.py does it (DeepseekV4Model), which drops multi-token prediction."""
    bound = config.get("swiglu_limit")
    bounds = None if bound is None else [bound] * config.n_layer
    hparams = parts.base_hparams(
        config,
        attention__q_lora_rank=config["q_lora_rank"],
        attention__sliding_window=config.window,
        attention__indexer__head_count=config["index_n_heads"],
        attention__indexer__key_length=config["index_head_dim"],
        attention__indexer__top_k=config["index_topk"],
        attention__output_group_count=config["o_groups"],
        attention__output_lora_rank=config["o_lora_rank"],
        attention__compress_ratios=config["compress_ratios"],
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_count=config.n_expert_shared,
        swiglu_clamp_exp=bounds,
        swiglu_clamp_shexp=bounds,
        hyper_connection__count=config["hc_mult"],
        hyper_connection__sinkhorn_iterations=config.get("hc_sinkhorn_iters"),
        hash_layer_count=config["num_hash_layers"],
        embedding_length_out=config.n_embd * config["hc_mult"],
    )
    head = parts.hyper_connection("output_hc", config.n_embd * config["hc_mult"], config["hc_mult"], 1)
    return Checkpoint("deepseek4", hparams, parts.stack(config, (_block(config, i) for i in range(config.n_layer)), *head))


def _block(config: Config, i: int) -> list[Tensor]:
    d, streams = config.n_embd, config["hc_mult"]
    return [
        parts.norm("attn_norm", d),
        *_attention(config),
        *_compressors(config, config["compress_ratios"][i]),
        *parts.hyper_connections(d, streams, (2 + streams) * streams, 3),
        parts.norm("ffn_norm", d),
        *_moe(config, hashed=i < config["num_hash_layers"]),
    ]


def _attention(config: Config) -> list[Tensor]:
    """One latent for keys and values; the output goes through a narrow projection per group of heads."""
    d, heads, head, rank = config.n_embd, config.n_head, config.head_dim, config["q_lora_rank"]
    groups, out_rank = config["o_groups"], config["o_lora_rank"]
    return [
        parts.vector("attn_sinks.weight", heads),
        parts.matrix("attn_q_a", d, rank),
        parts.norm("attn_q_a_norm", rank),
        parts.matrix("attn_q_b", rank, heads * head),
        parts.matrix("attn_kv", d, head),
        parts.norm("attn_kv_a_norm", head),
        parts.matrix("attn_output_a", heads * head // groups, out_rank * groups),
        parts.matrix("attn_output_b", out_rank * groups, d),
    ]


def _compressors(config: Config, ratio: int) -> list[Tensor]:
    """What pools `ratio` tokens into one entry, and the indexer with a pooling of its own."""
    if not ratio:
        return []
    d, rank, heads, key = config.n_embd, config["q_lora_rank"], config["index_n_heads"], config["index_head_dim"]
    attention = _compressor("attn_compressor", d, config.head_dim, ratio)
    if ratio != INDEXED_RATIO:
        return attention
    queries = [parts.matrix("indexer.proj", d, heads), parts.matrix("indexer.attn_q_b", rank, heads * key)]
    return [*attention, *queries, *_compressor("indexer_compressor", d, key, ratio)]


def _compressor(name: str, d: int, width: int, ratio: int) -> list[Tensor]:
    # neighbouring windows overlap where the ratio is small: twice the width
    pooled = 2 * width if ratio == INDEXED_RATIO else width
    return [
        parts.matrix(f"{name}_kv", d, pooled),
        parts.matrix(f"{name}_gate", d, pooled),
        parts.vector(f"{name}_ape.weight", pooled, ratio),
        parts.norm(f"{name}_norm", width),
    ]


def _moe(config: Config, hashed: bool) -> list[Tensor]:
    """Experts, chosen by a table of token ids in the hashed layers; the router keeps its source type, unlike others."""
    n_expert = config.n_expert
    table = Tensor("ffn_gate_tid2eid.weight", (config.n_expert_used, config.n_vocab), "i32")
    choice = table if hashed else parts.vector("exp_probs_b.bias", n_expert)
    _, *rest = parts.moe(config, selection_bias=False)
    return [parts.matrix("ffn_gate_inp", config.n_embd, n_expert), choice, *rest]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """A window everywhere, and compressed entries where there is a ratio; drafting blocks have the window alone."""
    ratios = hp.need("attention.compress_ratios")
    heads, window = max(hp.per_layer("attention.head_count", 0)), int(hp.need("attention.sliding_window"))
    indexed = {INDEXED_RATIO: int(hp.need("attention.indexer.key_length"))}
    return parts.mixer_layers(hp, lambda i: Compressed(int(heads), hp.k_dim, window, int(ratios[i]), indexed.get(int(ratios[i]), 0)))
