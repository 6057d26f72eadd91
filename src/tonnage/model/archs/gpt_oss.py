"""gpt-oss: attention with biases and sinks, every second block windowed, experts published in MXFP4."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/gpt_oss.py does it."""
    hparams = parts.base_hparams(config, attention__sliding_window=config.window, expert_feed_forward_length=config.n_ff)
    return Checkpoint("gpt-oss", hparams, parts.stack(config, [_block(config)] * config.n_layer))


def _block(config: Config) -> list[Tensor]:
    d = config.n_embd
    bias = bool(config.get("attention_bias", True))
    return [
        parts.norm("attn_norm", d),
        *parts.gqa(d, config.n_head, config.kv_heads, config.k_dim, bias=bias, out_bias=bias),
        parts.vector("attn_sinks.weight", config.n_head),
        parts.norm("post_attention_norm", d),
        *_experts(config),
    ]


def _experts(config: Config) -> list[Tensor]:
    """Router and experts with biases; blocks and scales of an MXFP4 checkpoint are repacked as they are."""
    d, width, count = config.n_embd, config.n_ff, config.n_expert
    published = (config.get("quantization_config") or {}).get("quant_method")
    kind = "mxfp4" if published == "mxfp4" else "bf16"
    router, *stacks = parts.gated_experts(d, width, count)
    return [
        router,
        *(stack._replace(type=kind) for stack in stacks),
        parts.vector("ffn_gate_inp.bias", count),
        parts.vector("ffn_gate_exps.bias", width, count),
        parts.vector("ffn_up_exps.bias", width, count),
        parts.vector("ffn_down_exps.bias", d, count),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every second block is full."""
    return parts.attention_layers(hp, parts.windows(hp, 2))
