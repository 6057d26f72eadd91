"""Command R, R7B, A and A+: attention and feed-forward part side by side behind one norm."""

from collections.abc import Iterable

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/command_r.py does it; embedding and head are one unless the config denies it."""
    config = parts.with_defaults(config, tie_word_embeddings=True)
    if "cohere2_moe" in config.model_types:
        return _convert_moe(config)
    return _convert_windowed(config) if "cohere2" in config.model_types else _convert_full(config)


def _convert_full(config: Config) -> Checkpoint:
    # the first configs give 8,192 as max_position_embeddings of a model trained on 131,072
    context = config.get("model_max_length", config.get("n_ctx_train"))
    block = _block(config, parts.gated_ffn(config.n_embd, config.n_ff))
    return Checkpoint("command-r", parts.base_hparams(config, context_length=context), parts.stack(config, [block] * config.n_layer))


def _convert_windowed(config: Config) -> Checkpoint:
    hparams = parts.base_hparams(config, attention__sliding_window=config.window)
    block = _block(config, parts.gated_ffn(config.n_embd, config.n_ff))
    return Checkpoint("cohere2", hparams, parts.stack(config, [block] * config.n_layer))


def _convert_moe(config: Config) -> Checkpoint:
    # `intermediate_size` is the experts' width here, `prefix_dense_intermediate_size` that of leading dense blocks
    width, n_shared, n_nextn = int(config["intermediate_size"]), int(config.get("n_expert_shared", 0)), int(config.get("n_nextn", 0))
    n_dense = _leading_dense(config)
    hparams = parts.base_hparams(
        config,
        block_count=config.n_layer + n_nextn,
        feed_forward_length=config.n_ff if n_dense else None,
        attention__sliding_window=config.window,
        attention__sliding_window_pattern=parts.sliding_pattern(config),
        expert_feed_forward_length=width,
        leading_dense_block_count=n_dense,
        expert_shared_count=n_shared or None,
        expert_shared_feed_forward_length=width * n_shared or None,
        nextn_predict_layers=n_nextn or None,
        attention__layer_norm_rms_epsilon=config.get("rms_norm_eps"),
    )
    d = config.n_embd
    shared = parts.gated_ffn(d, width * n_shared, "_shexp") if n_shared else []
    dense, sparse = parts.gated_ffn(d, config.n_ff), [*parts.gated_experts(d, width, config.n_expert), *shared]
    trunk = (_block(config, dense if i < n_dense else sparse) for i in range(config.n_layer))
    nextn = ([*_block(config, sparse), *parts.nextn_head(d)] for _ in range(n_nextn))
    return Checkpoint("cohere2moe", hparams, parts.stack(config, [*trunk, *nextn]))


def _leading_dense(config: Config) -> int:
    kinds = config.get("mlp_layer_types")
    if kinds is None:
        return int(config.get("first_k_dense_replace", 0))
    return next((i for i, kind in enumerate(kinds) if kind != "dense"), len(kinds))


def _block(config: Config, ffn: Iterable[Tensor]) -> list[Tensor]:
    d, heads, kv_heads, head_dim = config.n_embd, config.n_head, config.kv_heads, config.k_dim
    # Command R+ norms every head by a scale of its own
    norms = [parts.vector("attn_q_norm.weight", head_dim, heads), parts.vector("attn_k_norm.weight", head_dim, kv_heads)]
    normed = norms if config.get("use_qk_norm") else []
    return [parts.norm("attn_norm", d), *parts.gqa(d, heads, kv_heads, head_dim), *normed, *ffn]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Command R attends fully; later ones in every fourth block, the last of four or, with experts, the first."""
    return parts.attention_layers(hp, parts.windows(hp, 4, first_full=bool(hp.get("expert_count"))))
