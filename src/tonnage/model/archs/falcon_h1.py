"""Falcon-H1: attention and Mamba-2 side by side in every block."""

from tonnage.model.archs import parts, ssm
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/falcon_h1.py does it."""
    hparams = parts.base_hparams(
        config,
        ssm__conv_kernel=config["mamba_d_conv"],
        ssm__inner_size=config["mamba_d_ssm"],
        ssm__state_size=config["mamba_d_state"],
        ssm__time_step_rank=config["mamba_d_ssm"] // config["mamba_d_head"],
        ssm__group_count=config["mamba_n_groups"],
    )
    return Checkpoint("falcon-h1", hparams, parts.stack(config, (_block(config) for _ in range(config.n_layer))))


def _block(config: Config) -> list[Tensor]:
    d = config.n_embd
    shape = (config["mamba_d_ssm"], config["mamba_d_state"], config["mamba_n_groups"], config["mamba_n_heads"], config["mamba_d_conv"])
    return [
        parts.norm("attn_norm", d),
        *ssm.mamba2(d, *shape, conv_bias=bool(config.get("mamba_conv_bias", True)), gated_norm=bool(config.get("mamba_rms_norm"))),
        *parts.gqa(d, config.n_head, config.kv_heads, config.k_dim, bias=bool(config.get("attention_bias"))),
        # the one norm whose name the converter leaves without `.weight`
        parts.vector("ffn_norm", d),
        *parts.gated_ffn(d, config.n_ff),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every block keeps keys and values, and a state."""
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)
    state = ssm.state_of(hp, "mamba2")

    def layer(i: int) -> Layer:
        return Layer((Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim), state), parts.ffn_of(hp, i))

    return tuple(layer(i) for i in range(hp.n_layer))
