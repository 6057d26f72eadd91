"""LFM2 and LFM2.5, dense and MoE: short convolutions with a grouped-query attention now and then."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Dense, Experts, FeedForward, Layer, Recurrent, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/lfm2.py does it."""
    moe = "n_expert" in config
    attention = _attention_blocks(config)
    hparams = parts.base_hparams(
        config,
        feed_forward_length=_dense_width(config),
        attention__head_count_kv=[config.kv_heads if is_attention else 0 for is_attention in attention],
        expert_feed_forward_length=config.n_ff_exp if moe else None,
        leading_dense_block_count=config.n_dense_first if moe else None,
        shortconv__l_cache=config["conv_L_cache"],
    )
    d, vocab = config.n_embd, config.n_vocab
    # the final norm has the embedding's name here, and the loader takes it for the output norm
    outer = [parts.matrix("token_embd", d, vocab), parts.norm("token_embd_norm", d)]
    if not config.get("tied", True):
        outer.append(parts.matrix("output", d, vocab))
    blocks = (parts.block(i, _block(config, i, attention[i])) for i in range(config.n_layer))
    return Checkpoint("lfm2moe" if moe else "lfm2", hparams, (*outer, *(t for tensors in blocks for t in tensors)))


def _attention_blocks(config: Config) -> list[bool]:
    """LFM2's first configs number the attention blocks, later ones name every block's kind."""
    if "layer_types" in config:
        return [kind != "conv" for kind in config["layer_types"]]
    return [i in config["full_attn_idxs"] for i in range(config.n_layer)]


def _dense_width(config: Config) -> int:
    """The width of a dense feed-forward part: two thirds of the field, rounded up, where the config asks for it."""
    width = int(config.get("block_ff_dim") or config.n_ff)
    if not config.get("block_auto_adjust_ff_dim"):
        return width
    width = int(config.get("block_ffn_dim_multiplier", 1.0) * int(2 * width / 3))
    multiple = int(config["block_multiple_of"])
    return -(-width // multiple) * multiple


def _block(config: Config, i: int, attention: bool) -> list[Tensor]:
    d = config.n_embd
    mixer = _attention(config) if attention else _short_conv(d, config["conv_L_cache"])
    experts = "n_expert" in config and i >= config.n_dense_first
    ffn = _experts(config) if experts else parts.gated_ffn(d, _dense_width(config))
    return [parts.norm("attn_norm", d), *mixer, parts.norm("ffn_norm", d), *ffn]


def _attention(config: Config) -> list[Tensor]:
    return [*parts.gqa(config.n_embd, config.n_head, config.kv_heads, config.k_dim), *parts.qk_norms(config.k_dim)]


def _short_conv(n_embd: int, length: int) -> list[Tensor]:
    return [
        parts.vector("shortconv.conv.weight", length, n_embd),
        parts.matrix("shortconv.in_proj", n_embd, 3 * n_embd),
        parts.matrix("shortconv.out_proj", n_embd, n_embd),
    ]


def _experts(config: Config) -> list[Tensor]:
    bias = [parts.vector("exp_probs_b.bias", config.n_expert)] if config.get("use_expert_bias", True) else []
    return [*parts.gated_experts(config.n_embd, config.n_ff_exp, config.n_expert), *bias]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Blocks without KV heads are convolutions; the LFM2.5 audio tokenizer limits its attention to a window."""
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)
    conv = Recurrent("short_conv", int(hp.need("embedding_length")) * (int(hp.need("shortconv.l_cache")) - 1), 0)
    window = int(hp.get("attention.sliding_window") or 0)

    def layer(i: int) -> Layer:
        mixer = Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim, window) if kv_heads[i] else conv
        return Layer((mixer,), _ffn_of(hp, i))

    return tuple(layer(i) for i in range(hp.n_layer))


def _ffn_of(hp: Hparams, i: int) -> FeedForward:
    if not hp.get("expert_count") or i < int(hp.get("leading_dense_block_count") or 0):
        return Dense(int(hp.per_layer("feed_forward_length", 0)[i]))
    return Experts(int(hp["expert_count"]), int(hp.need("expert_used_count")), int(hp.need("expert_feed_forward_length")))
