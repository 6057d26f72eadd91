"""Live floats per token at the graph's peak: measured rows by shape, and closed forms by family.

The rows of data/llamacpp_compute.json were measured on build 11434 (one emulated CUDA device, and the
CPU); the closed forms reproduce most of them and serve shapes that have no row.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tonnage.data import load_json
from tonnage.frozen import dataclass
from tonnage.model.hparams import Hparams
from tonnage.model.types import Dense, Experts, Latent, Model

PROBE_UBATCH = 512
"""ubatch of the runs that the rows were measured with"""

_PER_FLOAT = 4 * PROBE_UBATCH
_ALIGNMENT = 32

SPARSE = frozenset({"deepseek32", "deepseek4", "glm-dsa", "glm5-next", "hy_v4", "minimax-m3", "qwen4exp"})
"""sparse attention: the peak grows with the context by slopes of its own"""

_KEY = (
    "block_count", "embedding_length", "feed_forward_length", "attention.head_count", "attention.key_length",
    "expert_count", "expert_used_count", "expert_feed_forward_length", "attention.sliding_window", "ssm.inner_size",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Width:
    """A peak: `floats` per token of the ubatch, and `fixed` bytes besides."""

    floats: int
    fixed: int
    measured: bool

    def without(self, nbytes: int) -> "Width":
        """The peak less bytes that do not grow with the ubatch, though the probe's one number held them."""
        return width_of(self.floats + self.fixed / _PER_FLOAT - nbytes / _PER_FLOAT)

    def holds_states(self, one: "Width", nbytes: int) -> bool:
        """Whether this peak, measured with four slots, is that of `one` slot and three states of `nbytes` more."""
        grown = _PER_FLOAT * (self.floats - one.floats) + self.fixed - one.fixed
        return bool(nbytes) and abs(grown - 3 * nbytes) < _PER_FLOAT


def shape_key(architecture: str, hparams: Mapping[str, Any]) -> str:
    """What two models must share to have the same compute buffer: architecture and sizes, MTP blocks aside."""
    values = dict(hparams)
    values["block_count"] = int(values["block_count"]) - int(values.get("nextn_predict_layers") or 0)
    heads = Hparams(hparams)
    values["attention.key_length"] = heads.k_dim if values.get("attention.head_count") else 0

    def flat(value: Any) -> str:
        return str(max(value)) if isinstance(value, list | tuple) else str(value or 0)

    return "|".join([architecture, *(flat(values.get(key)) for key in _KEY)])


@lru_cache(maxsize=256)
def width(model: Model, kind: str) -> Width:
    """The peak `kind`: cuda_w, cpu_w, cuda_w_attn_quant_kv, cuda_w_fa_off, cpu_w_fa_off, ..._4slots."""
    row = load_json("llamacpp_compute.json")["rows"].get(shape_key(model.architecture, model.hparams), {})
    measured = row.get(kind, row.get(kind.removesuffix("_4slots")))
    if measured and measured > 0:
        return width_of(float(measured))
    return Width(_closed_form(model, kind), 128, False)


def width_of(measured: float) -> Width:
    """A peak in floats per token of the probe: what is left of a float are bytes that do not grow, in whole steps of 32."""
    floats = int(measured)
    return Width(floats, _ALIGNMENT * round((measured - floats) * _PER_FLOAT / _ALIGNMENT), True)


def _closed_form(model: Model, kind: str) -> int:
    """Rules by family: 4 (CUDA) or 5 (CPU) hidden states beside the widest feed-forward or attention part."""
    d = model.n_embd
    copies = 5 if kind.startswith("cpu") else 4
    heads = max((m.heads for layer in model.layers for m in layer.mixers if hasattr(m, "heads")), default=0)
    k_dim = Hparams(model.hparams).k_dim if heads else 0
    if "fa_off" in kind:
        return copies * d + heads * k_dim + 23
    if "quant_kv" in kind:
        query = heads * k_dim
        return 4 * d + (query if query <= d else 2 * query) + 47
    latent = any(isinstance(m, Latent) for layer in model.layers for m in layer.mixers)
    attention = 1344 * heads + copies * d if latent and heads >= 128 else 0
    return (
        max(_feed_forward(layer.ffn, d, copies) for layer in model.layers if layer.ffn) + 7
        if not attention
        else max(attention, *(_feed_forward(layer.ffn, d, copies) for layer in model.layers if layer.ffn))
    )


def _feed_forward(ffn: Dense | Experts | None, d: int, copies: int) -> int:
    if isinstance(ffn, Dense):
        return 3 * ffn.width + copies * d
    if isinstance(ffn, Experts):
        sums = (2 if ffn.shared_width and copies == 4 else 1) * ffn.used * d
        return sums + 3 * ffn.used * ffn.width + copies * d
    return 0
