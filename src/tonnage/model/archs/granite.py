"""IBM Granite: dense, MoE with a shared expert, and hybrids of Mamba-2 with a few attention blocks."""

from typing import Any

from tonnage.model.archs import parts, ssm
from tonnage.model.archs.nemotron_h import ANY_CONTEXT
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/granite.py does it; a hybrid without Mamba blocks becomes a plain Granite."""
    if "granitemoehybrid" in config.model_types:
        return _convert_hybrid(config)
    moe = bool(config.get("n_expert"))
    blocks = (_block(config, attention=True) for _ in range(config.n_layer))
    hparams = parts.base_hparams(
        config,
        # the converter ignores head_dim
        attention__key_length=None,
        attention__value_length=None,
        expert_shared_feed_forward_length=config.get("n_ff_shexp"),
        **_scales(config),
    )
    return Checkpoint("granitemoe" if moe else "granite", hparams, parts.stack(config, blocks))


def _convert_hybrid(config: Config) -> Checkpoint:
    attention = [kind == "attention" for kind in config["layer_types"]]
    hybrid = not all(attention)
    hparams = parts.base_hparams(
        config,
        context_length=ANY_CONTEXT if hybrid else config.n_ctx_train,
        attention__head_count_kv=[config.kv_heads if is_attention else 0 for is_attention in attention],
        attention__key_length=None,
        attention__value_length=None,
        expert_shared_feed_forward_length=config.get("n_ff_shexp"),
        **_scales(config),
        # the loader takes it for "has rotation"
        rope__scaling__finetuned=not hybrid,
        ssm__conv_kernel=config["mamba_d_conv"] if hybrid else None,
        ssm__state_size=config["mamba_d_state"] if hybrid else None,
        ssm__group_count=config["mamba_n_groups"] if hybrid else None,
        ssm__inner_size=config["mamba_expand"] * config.n_embd if hybrid else None,
        ssm__time_step_rank=config["mamba_n_heads"] if hybrid else None,
    )
    plain = "granitemoe" if config.get("n_expert_used") else "granite"
    blocks = (_block(config, is_attention) for is_attention in attention)
    return Checkpoint("granitehybrid" if hybrid else plain, hparams, parts.stack(config, blocks))


def _scales(config: Config) -> dict[str, Any]:
    """Factors of embedding, residuals and logits; the converter leaves out what is missing or 0."""
    fields = {"embedding_scale": "embedding_multiplier", "residual_scale": "residual_multiplier", "logit_scale": "logits_scaling"}
    return {key: config.get(field) or None for key, field in fields.items()}


def _block(config: Config, attention: bool) -> list[Tensor]:
    d = config.n_embd
    return [parts.norm("attn_norm", d), *(_attention(config) if attention else _mamba2(config)), parts.norm("ffn_norm", d), *_ffn(config)]


def _attention(config: Config) -> list[Tensor]:
    bias = bool(config.get("attention_bias"))
    return parts.gqa(config.n_embd, config.n_head, config.kv_heads, config.n_embd // config.n_head, bias=bias, out_bias=bias)


def _mamba2(config: Config) -> list[Tensor]:
    inner = config["mamba_expand"] * config.n_embd
    shape = (config["mamba_d_state"], config["mamba_n_groups"], config["mamba_n_heads"], config["mamba_d_conv"])
    return ssm.mamba2(config.n_embd, inner, *shape, conv_bias=bool(config.get("mamba_conv_bias", True)))


def _ffn(config: Config) -> list[Tensor]:
    """Experts with a shared one; without experts the shared one is the feed-forward part."""
    d, shared = config.n_embd, config.get("n_ff_shexp")
    if not config.get("n_expert"):
        return parts.gated_ffn(d, shared or config.n_ff)
    return [*parts.gated_experts(d, config.n_ff, config.n_expert), *(parts.gated_ffn(d, shared, "_shexp") if shared else [])]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Attention where there are KV heads; blocks without are recurrent (granitehybrid)."""
    heads = hp.per_layer("attention.head_count", 0)
    kv_heads = hp.per_layer("attention.head_count_kv", heads[0])
    if all(kv_heads):
        return parts.attention_layers(hp)
    state = ssm.state_of(hp, "mamba2")

    def layer(i: int) -> Layer:
        mixer = Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim) if kv_heads[i] else state
        return Layer((mixer,), parts.ffn_of(hp, i))

    return tuple(layer(i) for i in range(hp.n_layer))
