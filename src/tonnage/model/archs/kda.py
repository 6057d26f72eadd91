"""Kimi delta attention (KDA), a recurrent mixer: what Kimi Linear, Kimi K3 and GLM-5.3-Flash share."""

from typing import Any, NamedTuple

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Recurrent, Tensor


class Kda(NamedTuple):
    """The shape of a KDA mixer, from either spelling of a config."""

    heads: int
    head_dim: int
    kernel: int
    """taps of the short convolutions over queries, keys and values"""
    recurrent: tuple[bool, ...]
    """which layers are KDA; the others attend"""

    @property
    def inner(self) -> int:
        """Elements of all heads."""
        return self.heads * self.head_dim


def of_config(config: Config) -> Kda:
    """Published configs count `full_attn_layers` from 1; transformers' classes list `layer_types`."""
    published: dict[str, Any] | None = config.get("linear_attn_config")
    if published is None:
        recurrent = tuple(t == "linear_attention" for t in config["layer_types"])
        return Kda(config["linear_num_heads"], config["linear_head_dim"], config["linear_conv_kernel_dim"], recurrent)
    full = set(published["full_attn_layers"])
    recurrent = tuple(i + 1 not in full for i in range(config.n_layer))
    return Kda(published["num_heads"], published["head_dim"], published["short_conv_kernel_size"], recurrent)


def tensors(d: int, kda: Kda, *, a_shape: tuple[int, ...], full_gate: bool = False) -> list[Tensor]:
    """Projections with a short convolution each, decay and output gates of low rank (the latter of full rank in K3)."""
    inner, head = kda.inner, kda.head_dim
    gate = [parts.matrix("ssm_g", d, inner)] if full_gate else [parts.matrix("ssm_g_a", d, head), parts.matrix("ssm_g_b", head, inner)]
    return [
        *(parts.matrix(f"attn_{x}", d, inner) for x in "qkv"),
        *(parts.vector(f"ssm_conv1d_{x}.weight", kda.kernel, 1, inner, 1) for x in "qkv"),
        parts.vector("ssm_a", *a_shape),
        parts.vector("ssm_dt.bias", inner),
        parts.matrix("ssm_f_a", d, head),
        parts.matrix("ssm_f_b", head, inner),
        parts.matrix("ssm_beta", d, kda.heads),
        *gate,
        parts.norm("ssm_norm", head),
        parts.matrix("attn_output", inner, d),
    ]


def hparams(kda: Kda) -> dict[str, Any]:
    """The metadata of KDA; the loader takes the layers without KV heads for recurrent."""
    return {
        "attention__head_count_kv": [0 if recurrent else 1 for recurrent in kda.recurrent],
        "ssm__conv_kernel": kda.kernel,
        "kda__head_dim": kda.head_dim,
    }


def recurrent(hp: Hparams) -> Recurrent:
    """Three convolution tails and a square state per head (llama_hparams::n_embd_r, n_embd_s)."""
    heads = max(int(n) for n in hp.per_layer("attention.head_count", 0))
    head, kernel = int(hp.need("kda.head_dim")), int(hp.need("ssm.conv_kernel"))
    return Recurrent("kda", 3 * (kernel - 1) * heads * head, heads * head * head)
