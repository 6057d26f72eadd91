"""Gemma 4: wider heads in full blocks, values that may be the keys, shared caches, dense or with experts."""

from typing import Any

from tonnage.model.archs import gemma3n, parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Dense, Experts, FeedForward, Layer, Tensor

DEFAULTS = {"vocab_size": 262144, "vocab_size_per_layer_input": 262144, "num_kv_shared_layers": 0, "tie_word_embeddings": True}
"""Gemma4TextConfig of transformers 5.23."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/gemma.py does it (Gemma4Model).

    Blocks that share a cache keep their unused key and value projections.
    """
    config = parts.with_defaults(config, **DEFAULTS)
    sliding = parts.sliding_pattern(config) or [False] * config.n_layer
    full_dim, per_layer = _full_head_dim(config, sliding), int(config.get("hidden_size_per_layer_input", 0))
    hparams = parts.base_hparams(
        config,
        feed_forward_length=_widths(config) if config.get("use_double_wide_mlp") else config.n_ff,
        expert_feed_forward_length=config.get("expert_intermediate_size", config.get("moe_intermediate_size")),
        attention__head_count_kv=_kv_heads(config, sliding) if _full_kv_heads(config, sliding) else config.get("n_head_kv"),
        attention__key_length=full_dim,
        attention__value_length=full_dim,
        attention__key_length_swa=config.head_dim,
        attention__value_length_swa=config.head_dim,
        attention__sliding_window=config.window,
        attention__sliding_window_pattern=sliding,
        attention__shared_kv_layers=config["num_kv_shared_layers"],
        embedding_length_per_layer_input=per_layer,
    )
    # the full blocks turn a part of each head only, which the factors express
    outer = [parts.vector("rope_freqs.weight", full_dim // 2)]
    if per_layer:
        outer += gemma3n.per_layer_embedding(config, config["vocab_size_per_layer_input"])
    blocks = (_block(config, sliding, i) for i in range(config.n_layer))
    return Checkpoint("gemma4", hparams, parts.stack(config, blocks, *outer))


def _full_head_dim(config: Config, sliding: list[bool]) -> int:
    return int(config.get("global_head_dim") or _of_full_block(config, sliding, "head_dim") or config.head_dim)


def _full_kv_heads(config: Config, sliding: list[bool]) -> int | None:
    """KV heads of a full block, where they differ from those of the windowed ones."""
    heads = config.get("num_global_key_value_heads") or _of_full_block(config, sliding, "num_key_value_heads")
    return int(heads) if heads else None


def _of_full_block(config: Config, sliding: list[bool], key: str) -> Any:
    """`key` of the first full block that `per_layer_config` describes."""
    described = config.get("per_layer_config", {})
    return next((row[key] for i, row in described.items() if int(i) < len(sliding) and not sliding[int(i)] and key in row), None)


def _kv_heads(config: Config, sliding: list[bool]) -> list[int]:
    full = _full_kv_heads(config, sliding) or config.kv_heads
    return [config.kv_heads if windowed else full for windowed in sliding]


def _widths(config: Config) -> list[int]:
    """Feed-forward width of every block: doubled, where the config asks for it, in those that share a cache."""
    owners = config.n_layer - config["num_kv_shared_layers"]
    factor = 2 if config.get("use_double_wide_mlp") else 1
    return [config.n_ff * (1 if i < owners else factor) for i in range(config.n_layer)]


def _block(config: Config, sliding: list[bool], i: int) -> list[Tensor]:
    d = config.n_embd
    more = gemma3n.per_layer_input(config) if config.get("hidden_size_per_layer_input") else []
    ffn = [*parts.gated_ffn(d, _widths(config)[i]), *(_experts(config) if config.get("enable_moe_block") else [])]
    scale = parts.vector("layer_output_scale.weight", 1)
    return [*parts.sandwich_block(d, _attention(config, sliding, i), ffn), *more, scale]


def _attention(config: Config, sliding: list[bool], i: int) -> list[Tensor]:
    head_dim = config.head_dim if sliding[i] else _full_head_dim(config, sliding)
    tensors = parts.gqa(config.n_embd, config.n_head, _kv_heads(config, sliding)[i], head_dim)
    if config.get("attention_k_eq_v") and not sliding[i]:
        tensors = [t for t in tensors if t.name != "attn_v.weight"]
    return [*tensors, *parts.qk_norms(head_dim)]


def _experts(config: Config) -> list[Tensor]:
    """Experts beside the dense part, their gate and up in one stack, with scales and norms of their own."""
    d, width, count = config.n_embd, config.get("expert_intermediate_size") or config.n_ff_exp, config.n_expert
    return [
        parts.vector("ffn_gate_inp.weight", d, count),
        parts.vector("ffn_gate_inp.scale", d),
        parts.matrix("ffn_gate_up_exps", d, 2 * width, count),
        parts.matrix("ffn_down_exps", width, d, count),
        parts.vector("ffn_down_exps.scale", count),
        parts.norm("post_ffw_norm_1", d),
        parts.norm("pre_ffw_norm_2", d),
        parts.norm("post_ffw_norm_2", d),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows as the metadata list them; the last `shared_kv_layers` blocks read the last cache of their kind."""
    window_of = parts.windows(hp, 6)
    owners = hp.n_layer - int(hp.get("attention.shared_kv_layers") or 0)
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)

    def attention(i: int) -> Attention:
        window = window_of(i)
        k_dim = hp.get("attention.key_length_swa", hp.k_dim) if window else hp.k_dim
        v_dim = hp.get("attention.value_length_swa", hp.v_dim) if window else hp.v_dim
        return Attention(int(heads[i]), int(kv_heads[i]), int(k_dim), int(v_dim), window, kv_layer=parts.kv_source(i, owners, window))

    return parts.mixer_layers(hp, attention, _ffn)


def _ffn(hp: Hparams, i: int) -> FeedForward:
    """The dense part of a block with experts runs for every token, as a shared expert does."""
    width = int(hp.per_layer("feed_forward_length", 0)[i])
    if not hp.get("expert_count"):
        return Dense(width)
    return Experts(int(hp["expert_count"]), int(hp.need("expert_used_count")), int(hp.need("expert_feed_forward_length")), width)
