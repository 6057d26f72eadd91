"""Nemotron-H and Nemotron 3: blocks that are a Mamba-2 mixer, an attention or a feed-forward part, never two of them."""

from typing import Any

from tonnage.errors import UnsupportedError
from tonnage.model.archs import parts, ssm
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Dense, Experts, FeedForward, Layer, Mixer, Tensor

_KINDS = {
    "M": "mamba", "*": "attention", "-": "ffn", "E": "ffn", "linear_attention": "mamba", "full_attention": "attention", "moe": "ffn", "mlp": "ffn",
}  # fmt: skip
ANY_CONTEXT = 1 << 20
"""What the converter writes for models without position embedding, whatever the config says."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/nemotron.py does it (NemotronHModel)."""
    if "block_configs" in config:
        raise UnsupportedError("Nemotron-H Puzzle configs (block_configs) have no rules yet: give a GGUF file of it")
    moe = "n_expert_used" in config
    kinds = _pattern(config)
    # some configs count their blocks by the pattern alone
    config = Config({"num_hidden_layers": len(kinds), **config.raw})
    # attention and experts of the MTP head are folded into one block (its parts come as mtp.layers.0 and 1)
    n_nextn = int(config.get("n_nextn", 0)) if moe else 0
    width = config.n_ff_exp if moe else config.n_ff
    hparams = parts.base_hparams(
        config,
        block_count=len(kinds) + n_nextn,
        context_length=ANY_CONTEXT,
        feed_forward_length=[width if kind == "ffn" else 0 for kind in kinds] + [width] * n_nextn,
        attention__head_count_kv=[config.kv_heads if kind == "attention" else 0 for kind in kinds] + [config.kv_heads] * n_nextn,
        attention__key_length=config.k_dim,
        attention__value_length=config.k_dim,
        nextn_predict_layers=n_nextn or None,
        ssm__conv_kernel=config["conv_kernel"],
        ssm__state_size=config["ssm_state_size"],
        ssm__group_count=config["n_groups"],
        ssm__inner_size=config["mamba_num_heads"] * config["mamba_head_dim"],
        ssm__time_step_rank=config["mamba_num_heads"],
        **(_expert_hparams(config) if moe else {}),
    )
    blocks = [*(_block(config, kind, moe) for kind in kinds), *(_nextn_block(config) for _ in range(n_nextn))]
    return Checkpoint("nemotron_h_moe" if moe else "nemotron_h", hparams, parts.stack(config, blocks))


def _pattern(config: Config) -> list[str]:
    pattern = config.get("hybrid_override_pattern") or config["layers_block_type"]
    return [_KINDS.get(kind, kind) for kind in pattern]


def _expert_hparams(config: Config) -> dict[str, Any]:
    return {
        "expert_feed_forward_length": config.n_ff_exp,
        "expert_shared_feed_forward_length": config.n_ff_shexp,
        "expert_shared_count": config.n_expert_shared,
        "moe_latent_size": config.get("moe_latent_size"),
    }


def _block(config: Config, kind: str, moe: bool) -> list[Tensor]:
    if kind == "mamba":
        inner = config["mamba_num_heads"] * config["mamba_head_dim"]
        mixer = ssm.mamba2(config.n_embd, inner, config["ssm_state_size"], config["n_groups"], config["mamba_num_heads"], config["conv_kernel"])
        return [parts.norm("attn_norm", config.n_embd), *mixer]
    if kind == "attention":
        return [parts.norm("attn_norm", config.n_embd), *_attention(config)]
    return [parts.norm("attn_norm", config.n_embd), *(_experts(config) if moe else _ffn(config.n_embd, config.n_ff))]


def _attention(config: Config) -> list[Tensor]:
    return parts.gqa(config.n_embd, config.n_head, config.kv_heads, config.k_dim, bias=bool(config.get("attention_bias")))


def _ffn(n_embd: int, n_ff: int, suffix: str = "") -> list[Tensor]:
    """Up and down: the activation is a squared ReLU without a gate."""
    return [parts.matrix(f"ffn_up{suffix}", n_embd, n_ff), parts.matrix(f"ffn_down{suffix}", n_ff, n_embd)]


def _experts(config: Config) -> list[Tensor]:
    """Router, experts that may work in a narrower latent, and a shared expert that does not."""
    d, latent, n = config.n_embd, config.get("moe_latent_size"), config.n_expert
    width = latent or d
    return [
        parts.vector("ffn_gate_inp.weight", d, n),
        parts.vector("exp_probs_b.bias", n),
        *([parts.matrix("ffn_latent_down", d, latent), parts.matrix("ffn_latent_up", latent, d)] if latent else []),
        parts.matrix("ffn_up_exps", width, config.n_ff_exp, n),
        parts.matrix("ffn_down_exps", config.n_ff_exp, width, n),
        *_ffn(d, config.n_ff_shexp, "_shexp"),
    ]


def _nextn_block(config: Config) -> list[Tensor]:
    d = config.n_embd
    block = [parts.norm("attn_norm", d), *_attention(config), parts.norm("post_attention_norm", d), *_experts(config), *parts.nextn_head(d)]
    # the converter looks for routers under the block number of the source name (mtp.layers.1), so this one is not kept F32
    return [t._replace(type="bf16") if t.name == "ffn_gate_inp.weight" else t for t in block]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """A block is recurrent when it has neither KV heads nor a feed-forward part."""
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)
    widths = hp.per_layer("feed_forward_length", 0)
    state = ssm.state_of(hp, "mamba2")
    trunk = hp.n_layer - hp.n_nextn

    def mixers(i: int) -> tuple[Mixer, ...]:
        if kv_heads[i]:
            return (Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim),)
        return () if widths[i] else (state,)

    return tuple(Layer(mixers(i), _ffn_of(hp, i), i >= trunk) for i in range(hp.n_layer))


def _ffn_of(hp: Hparams, i: int) -> FeedForward | None:
    """Puzzle models give each block its own expert width and count."""
    width = int(hp.per_layer("feed_forward_length", 0)[i])
    if not width:
        return None
    n_expert = int(hp.get("expert_count") or 0)
    if not n_expert:
        return Dense(width)
    used, expert_width = int(hp.per_layer("expert_used_count", 0)[i]), int(hp.per_layer("expert_feed_forward_length", 0)[i] or width)
    return Experts(n_expert, used, expert_width, int(hp.get("expert_shared_feed_forward_length") or 0))
