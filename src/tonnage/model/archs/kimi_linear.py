"""Kimi Linear and Kimi K3: three Kimi delta attentions to one multi-head latent attention."""

from typing import Any

from tonnage.model.archs import kda, mla, parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Mixer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/kimi_linear.py and kimi_k3.py do it (KimiLinearModel, KimiK3Model)."""
    k3 = "kimi_k3" in config.model_types
    shape = kda.of_config(config)
    more = _k3_hparams(config) if k3 else _linear_hparams(config)
    hparams = parts.base_hparams(config, **{**mla.hparams(config), **mla.moe_hparams(config), **kda.hparams(shape), **more})
    blocks = ((_k3_block if k3 else _block)(config, shape, i) for i in range(config.n_layer))
    outer = [parts.vector("output_res_score.weight", config.n_embd)] if k3 else []
    return Checkpoint("kimi-k3" if k3 else "kimi-linear", hparams, parts.stack(config, blocks, *outer))


def _linear_hparams(config: Config) -> dict[str, Any]:
    # the converter leaves here what the base class wrote
    return {"attention__value_length": config.get("head_dim")}


def _block(config: Config, shape: kda.Kda, i: int) -> list[Tensor]:
    d = config.n_embd
    mixer = kda.tensors(d, shape, a_shape=(1, shape.heads, 1, 1)) if shape.recurrent[i] else mla.attention(config)
    ffn = parts.gated_ffn(d, config.n_ff) if i < parts.leading_dense(config) else parts.moe(config)
    return [parts.norm("attn_norm", d), *mixer, parts.norm("ffn_norm", d), *ffn]


# --- Kimi K3: gates of full rank, experts in a latent, scores of earlier layers' residuals ------------


def _k3_hparams(config: Config) -> dict[str, Any]:
    return {
        "expert_latent_length": config.get("routed_expert_hidden_size"),
        "attn_res__block_size": config["attn_res_block_size"],
        "kda__gate_lower_bound": (config.get("linear_attn_config") or {}).get("gate_lower_bound"),
        "activation__situ_linear_beta": config.get("activation_situ_linear_beta"),
    }


def _k3_block(config: Config, shape: kda.Kda, i: int) -> list[Tensor]:
    d = config.n_embd
    # norm and projection of a score are multiplied into one vector by the converter
    scores = [parts.vector("attn_res_score.weight", d), parts.vector("ffn_res_score.weight", d)]
    ffn = parts.gated_ffn(d, config.n_ff) if i < parts.leading_dense(config) else _latent_moe(config)
    return [parts.norm("attn_norm", d), *_k3_mixer(config, shape, i), parts.norm("ffn_norm", d), *ffn, *scores]


def _k3_mixer(config: Config, shape: kda.Kda, i: int) -> list[Tensor]:
    d = config.n_embd
    if shape.recurrent[i]:
        return kda.tensors(d, shape, a_shape=(shape.heads,), full_gate=True)
    return [*mla.attention(config), parts.matrix("attn_gate", d, config.n_head * config["v_head_dim"])]


def _latent_moe(config: Config) -> list[Tensor]:
    """Experts that work in a narrower space than the shared ones and the router."""
    latent = config.get("routed_expert_hidden_size")
    if latent is None:
        return parts.moe(config)
    d, width, n_expert = config.n_embd, config.n_ff_exp, config.n_expert
    _, *experts = parts.gated_experts(latent, width, n_expert)
    return [
        parts.vector("ffn_gate_inp.weight", d, n_expert),
        parts.vector("exp_probs_b.bias", n_expert),
        *experts,
        *parts.gated_ffn(d, config.n_expert_shared * width, "_shexp"),
        parts.matrix("ffn_routed_down", d, latent),
        parts.matrix("ffn_routed_up", latent, d),
        *([parts.norm("ffn_routed_norm", latent)] if config.get("latent_moe_use_norm") else []),
    ]


# --- layers ---------------------------------------------------------------------------------------


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Layers without KV heads are recurrent, the others keep a latent per token."""
    kv_heads = hp.per_layer("attention.head_count_kv")

    def mixer(i: int) -> Mixer:
        return mla.latent(hp) if kv_heads[i] else kda.recurrent(hp)

    return parts.mixer_layers(hp, mixer)
