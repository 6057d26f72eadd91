"""State-space mixers: Mamba and Mamba-2, alone or beside attention."""

from tonnage.model.archs import parts
from tonnage.model.hparams import Hparams
from tonnage.model.types import Recurrent, Tensor


def mamba2(
    n_embd: int, inner: int, state: int, groups: int, heads: int, conv: int, *, conv_bias: bool = True, gated_norm: bool = True
) -> list[Tensor]:
    """A Mamba-2 mixer; `ssm_a` and `ssm_d` are columns of one value per head (conversion/mamba.py)."""
    channels = inner + 2 * groups * state
    return [
        parts.matrix("ssm_in", n_embd, inner + channels + heads),
        parts.vector("ssm_conv1d.weight", conv, channels),
        *([parts.vector("ssm_conv1d.bias", channels)] if conv_bias else []),
        parts.vector("ssm_dt.bias", heads),
        parts.vector("ssm_a", 1, heads),
        parts.vector("ssm_d", 1, heads),
        *([parts.vector("ssm_norm.weight", inner // groups, groups)] if gated_norm else []),
        parts.matrix("ssm_out", inner, n_embd),
    ]


def mamba(n_embd: int, inner: int, state: int, dt_rank: int, conv: int, *, norms: bool = False) -> list[Tensor]:
    """A Mamba mixer; Jamba normalises dt, B and C besides."""
    inner_norms = [parts.norm("ssm_dt_norm", dt_rank), parts.norm("ssm_b_norm", state), parts.norm("ssm_c_norm", state)]
    return [
        parts.matrix("ssm_in", n_embd, 2 * inner),
        parts.vector("ssm_conv1d.weight", conv, inner),
        parts.vector("ssm_conv1d.bias", inner),
        parts.matrix("ssm_x", inner, dt_rank + 2 * state),
        *parts.linear("ssm_dt", dt_rank, inner, bias=True),
        parts.vector("ssm_a", state, inner),
        parts.vector("ssm_d", inner),
        parts.matrix("ssm_out", inner, n_embd),
        *(inner_norms if norms else []),
    ]


def state_of(hp: Hparams, kind: str) -> Recurrent:
    """Memory of one sequence (n_embd_r, n_embd_s): Mamba has no groups, so its convolution spans `inner` alone."""
    inner, state, groups = int(hp.need("ssm.inner_size")), int(hp.need("ssm.state_size")), int(hp.get("ssm.group_count") or 0)
    conv = (int(hp.need("ssm.conv_kernel")) - 1) * (inner + 2 * groups * state)
    return Recurrent(kind, conv, state * inner)
