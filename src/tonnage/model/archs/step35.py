"""Step 3.5 and 3.7: more query heads in windowed blocks, a gate per head, experts after dense blocks, three MTP blocks."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Dense, FeedForward, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/step3.py does it (Step35Model)."""
    n_nextn, n_dense = int(config.get("n_nextn", 0)), _leading_dense(config)
    sliding = _sliding(config, config.n_layer + n_nextn)
    heads, kv_heads = _heads(config, sliding)
    hparams = parts.base_hparams(
        config,
        block_count=len(sliding),
        attention__head_count=heads,
        attention__head_count_kv=kv_heads,
        attention__sliding_window=config.window,
        attention__sliding_window_pattern=sliding,
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_feed_forward_length=config["share_expert_dim"],
        leading_dense_block_count=n_dense,
        moe_every_n_layers=int(config.get("moe_every_n_layer", 1)),
        nextn_predict_layers=n_nextn or None,
        expert_weights_norm=config.get("norm_expert_weight"),
        expert_weights_scale=config.get("moe_router_scaling_factor"),
        swiglu_clamp_exp=_limits(config, "swiglu_limits", len(sliding)),
        swiglu_clamp_shexp=_limits(config, "swiglu_limits_shared", len(sliding)),
    )
    dense, sparse = parts.gated_ffn(config.n_embd, config.n_ff), _experts(config)
    trunk = [_block(config, heads[i], kv_heads[i], dense if i < n_dense else sparse) for i in range(config.n_layer)]
    nextn = [[*_block(config, heads[i], kv_heads[i], dense), *_nextn(config)] for i in range(config.n_layer, len(sliding))]
    return Checkpoint("step35", hparams, parts.stack(config, [*trunk, *nextn], *parts.rope_freqs(config)))


def _limits(config: Config, key: str, n_block: int) -> list[float] | None:
    """How far each block's gate and up may go; 0 for no limit."""
    limits = config.get(key)
    return None if limits is None else ([float(x or 0.0) for x in limits] + [0.0] * n_block)[:n_block]


def _leading_dense(config: Config) -> int:
    """The first block with experts, which published configs number in a text."""
    listed = [int(i) for i in str(config.get("moe_layers_enum", "")).split(",") if i.strip()]
    return min(listed) if listed else parts.leading_dense(config)


def _sliding(config: Config, n_block: int) -> list[bool]:
    """Which blocks look through a window, those of multi-token prediction included.

    Those are windowed: a list that ends with the trunk goes on so (stepfun-ai/Step-3.7-Flash: its three
    blocks hold 809,390,336 parameters each, which only the heads of windowed blocks give).
    """
    listed = parts.sliding_pattern(config) or []
    return (listed + [True] * n_block)[:n_block]


def _heads(config: Config, sliding: list[bool]) -> tuple[list[int], list[int]]:
    """Query and KV heads of every block."""
    windowed = config.get("attention_other_setting", {})
    q, k = windowed.get("num_attention_heads", config.n_head), windowed.get("num_attention_groups", config.kv_heads)
    return [q if s else config.n_head for s in sliding], [k if s else config.kv_heads for s in sliding]


def _block(config: Config, heads: int, kv_heads: int, ffn: list[Tensor]) -> list[Tensor]:
    d, head_dim = config.n_embd, config.k_dim
    attention = [*parts.gqa(d, heads, kv_heads, head_dim), *parts.qk_norms(head_dim), parts.matrix("attn_gate", d, heads)]
    return [parts.norm("attn_norm", d), *attention, parts.norm("ffn_norm", d), *ffn]


def _experts(config: Config) -> list[Tensor]:
    d = config.n_embd
    return [
        *parts.gated_experts(d, config.n_ff_exp, config.n_expert),
        parts.vector("exp_probs_b.bias", config.n_expert),
        *parts.gated_ffn(d, config["share_expert_dim"], "_shexp"),
    ]


def _nextn(config: Config) -> list[Tensor]:
    return [*parts.nextn_head(config.n_embd), parts.matrix("nextn.shared_head_head", config.n_embd, config.n_vocab)]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows as the metadata list them; blocks of multi-token prediction are dense."""
    hp.need("attention.sliding_window_pattern")
    return parts.attention_layers(hp, parts.windows(hp, 4), ffn=_ffn)


def _ffn(hp: Hparams, i: int) -> FeedForward | None:
    if i >= hp.n_layer - hp.n_nextn:
        return Dense(int(hp.per_layer("feed_forward_length")[i]))
    return parts.ffn_of(hp, i)
