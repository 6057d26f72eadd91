"""Mamba and Mamba-2 without attention: every block is recurrent, and there is no cache that grows."""

from tonnage.model.archs import parts, ssm
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor

# any context: the state does not grow
_ANY_CONTEXT = 1 << 20


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/mamba.py does it."""
    return _convert_mamba2(config) if "mamba2" in config.model_types else _convert_mamba(config)


def _convert_mamba(config: Config) -> Checkpoint:
    d, state, conv = config.n_embd, config.get("state_size", 16), config.get("conv_kernel", 4)
    rank = config.get("time_step_rank")
    # "auto", as transformers spells the default
    dt_rank = rank if isinstance(rank, int) else -(d // -16)
    mixer = ssm.mamba(d, 2 * d, state, dt_rank, conv)
    return _checkpoint("mamba", config, mixer, ssm__conv_kernel=conv, ssm__inner_size=2 * d, ssm__state_size=state, ssm__time_step_rank=dt_rank)


def _convert_mamba2(config: Config) -> Checkpoint:
    d, state, conv, groups = config.n_embd, config.get("state_size", 128), config.get("conv_kernel", 4), config.get("n_groups", 1)
    inner = config.get("intermediate_size") or config.get("expand", 2) * d
    heads = inner // config.get("head_dim", 64)
    mixer = ssm.mamba2(d, inner, state, groups, heads, conv)
    ssm_keys = {"conv_kernel": conv, "inner_size": inner, "state_size": state, "time_step_rank": heads, "group_count": groups}
    return _checkpoint("mamba2", config, mixer, **{f"ssm__{key}": value for key, value in ssm_keys.items()})


def _checkpoint(architecture: str, config: Config, mixer: list[Tensor], **ssm_keys: int) -> Checkpoint:
    hparams = parts.base_hparams(
        config,
        context_length=_ANY_CONTEXT,
        feed_forward_length=0,
        attention__head_count=0,
        attention__head_count_kv=None,
        attention__key_length=None,
        attention__value_length=None,
        **ssm_keys,
    )
    blocks = ([parts.norm("attn_norm", config.n_embd), *mixer] for _ in range(config.n_layer))
    # transformers writes the field only where it is not the default, which is tied
    tied = bool(config.get("tied", True))
    return Checkpoint(architecture, hparams, parts.stack(config, blocks, tied=tied))


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """All blocks are recurrent, whatever `attention.head_count_kv` says (llm_arch_is_recurrent)."""
    kind = "mamba2" if hp.get("ssm.group_count") else "mamba"
    return (Layer((ssm.state_of(hp, kind),), None),) * hp.n_layer
