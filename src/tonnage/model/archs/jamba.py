"""Jamba: Mamba with an attention block now and then, and experts in every second block."""

from tonnage.model.archs import parts, ssm
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/jamba.py does it."""
    attention = [_falls_on(i, config["attn_layer_offset"], config["attn_layer_period"]) for i in range(config.n_layer)]
    hparams = parts.base_hparams(
        config,
        attention__head_count_kv=[config.kv_heads if is_attention else 0 for is_attention in attention],
        attention__key_length=None,
        attention__value_length=None,
        ssm__conv_kernel=config.get("mamba_d_conv", 4),
        ssm__inner_size=config["mamba_expand"] * config.n_embd,
        ssm__state_size=config.get("mamba_d_state", 16),
        ssm__time_step_rank=_dt_rank(config),
    )
    return Checkpoint("jamba", hparams, parts.stack(config, (_block(config, i, attention[i]) for i in range(config.n_layer))))


def _falls_on(i: int, offset: int, period: int) -> bool:
    return i >= offset and (i - offset) % period == 0


def _dt_rank(config: Config) -> int:
    return int(config.get("mamba_dt_rank") or -(config.n_embd // -16))


def _block(config: Config, i: int, attention: bool) -> list[Tensor]:
    d, ff = config.n_embd, config.n_ff
    experts = _falls_on(i, config["expert_layer_offset"], config["expert_layer_period"])
    ffn = parts.gated_experts(d, ff, config.n_expert) if experts else parts.gated_ffn(d, ff)
    mixer = parts.gqa(d, config.n_head, config.kv_heads, d // config.n_head) if attention else _mamba(config)
    return [parts.norm("attn_norm", d), *mixer, parts.norm("ffn_norm", d), *ffn]


def _mamba(config: Config) -> list[Tensor]:
    inner = config["mamba_expand"] * config.n_embd
    return ssm.mamba(config.n_embd, inner, config.get("mamba_d_state", 16), _dt_rank(config), config.get("mamba_d_conv", 4), norms=True)


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Attention where there are KV heads. Which blocks have experts only the tensors tell (`build` looks)."""
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)
    state = ssm.state_of(hp, "mamba")

    def layer(i: int) -> Layer:
        mixer = Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim) if kv_heads[i] else state
        return Layer((mixer,), parts.ffn_of(hp, i))

    return tuple(layer(i) for i in range(hp.n_layer))
