"""MiMo V2 and its successors: windows with sinks in five of six layers, keys wider than values."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Dense, FeedForward, Layer, Tensor

NEXTN = 3
"""Blocks of multi-token prediction; no config says so, the converter has it as a constant (MimoV2Model._n_nextn)"""

DENSE_FIRST = 1
"""Leading blocks without experts in all published models (moe_layer_freq); no metadata key says so"""

FUSED_QKV = ("mimo_v2",)
"""model_types that are published with queries, keys and values in one matrix: V2.5 on"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/mimo.py does it (MimoV2Model)."""
    pattern = _windowed(config)
    hparams = parts.base_hparams(
        config,
        block_count=len(pattern),
        nextn_predict_layers=NEXTN,
        attention__head_count_kv=[_kv_heads(config, windowed) for windowed in pattern],
        attention__value_length=config["v_head_dim"],
        attention__value_scale=config.get("attention_value_scale"),
        attention__sliding_window=config.window,
        attention__sliding_window_pattern=[int(windowed) for windowed in pattern],
        expert_feed_forward_length=config.n_ff_exp,
    )
    blocks = (_block(config, i, windowed) for i, windowed in enumerate(pattern))
    return Checkpoint("mimo2", hparams, parts.stack(config, blocks))


def _windowed(config: Config) -> list[bool]:
    """Which blocks see a window only; those of multi-token prediction do."""
    return [bool(w) for w in config["hybrid_layer_pattern"]] + [True] * NEXTN


def _kv_heads(config: Config, windowed: bool) -> int:
    return int(config["swa_num_key_value_heads"]) if windowed else config.kv_heads


def _block(config: Config, i: int, windowed: bool) -> list[Tensor]:
    d, nextn = config.n_embd, i >= config.n_layer
    sinks = config.get("add_swa_attention_sink_bias" if windowed else "add_full_attention_sink_bias")
    sparse = not nextn and config["moe_layer_freq"][i]
    return [
        parts.norm("attn_norm", d),
        *_attention(config, _kv_heads(config, windowed)),
        *([parts.vector("attn_sinks.weight", config.n_head)] if sinks else []),
        parts.norm("ffn_norm", d),
        *(parts.moe(config) if sparse else parts.gated_ffn(d, config.n_ff)),
        *(_nextn(d) if nextn else []),
    ]


def _attention(config: Config, kv_heads: int) -> list[Tensor]:
    d, key, value = config.n_embd, config.head_dim, config["v_head_dim"]
    widths = {"attn_q": config.n_head * key, "attn_k": kv_heads * key, "attn_v": kv_heads * value}
    if any(t in FUSED_QKV for t in config.model_types):
        widths = {"attn_qkv": sum(widths.values())}
    return [*(parts.matrix(name, d, width) for name, width in widths.items()), parts.matrix("attn_output", config.n_head * value, d)]


def _nextn(d: int) -> list[Tensor]:
    """Its last norm is called after the layer, not after the head."""
    *head, _ = parts.nextn_head(d)
    return [*head, parts.norm("layer_output_norm", d)]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows by the metadata's pattern, KV heads by its array."""
    window, pattern = int(hp.need("attention.sliding_window")), hp.need("attention.sliding_window_pattern")
    heads, kv_heads = hp.per_layer("attention.head_count"), hp.per_layer("attention.head_count_kv")

    def mixer(i: int) -> Attention:
        return Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim, window if pattern[i] else 0)

    return parts.mixer_layers(hp, mixer, _ffn)


def _ffn(hp: Hparams, i: int) -> FeedForward | None:
    dense = i < DENSE_FIRST or i >= hp.n_layer - hp.n_nextn
    return Dense(int(hp.per_layer("feed_forward_length", 0)[i])) if dense else parts.ffn_of(hp, i)
