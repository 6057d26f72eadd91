"""The matrices of a model as Hugging Face checkpoints hold them, told from the tensors of its GGUF.

llama.cpp's converter renames, stacks, splits and leaves out; here that is undone, as far as sizes go:

- stacked experts are so many matrices of one (out, in) shape;
- the two halves that MLA's up-projection is split into are one matrix again;
- what the converter makes itself (rope factors) is left out;
- blocks of multi-token prediction that it drops are put back where their published count proves their shape.

Norms, biases, routers and the like are one sum: they keep the checkpoint's own type in every format.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tonnage.model.types import Model, Tensor
from tonnage.quant.roles import is_quantised, suffix_of

EMBEDDING, HEAD, LINEAR, EXPERT, ATTENTION, ROUTER, GATE, NEXTN, OTHER = (
    "embedding", "head", "linear", "expert", "attention", "router", "gate", "nextn", "other",
)  # fmt: skip


class Matrix(NamedTuple):
    """`copies` arrays of `n_out` x `n_in`; what is no matrix has an `n_out` of 1."""

    module: str
    """its module in the checkpoint; an expert's number is `*`"""
    role: str
    n_in: int
    n_out: int
    copies: int = 1
    float32: bool = False
    """published as F32, whatever the rest is"""

    @property
    def elements(self) -> int:
        """Parameters of all of them."""
        return self.n_in * self.n_out * self.copies


_ATTENTION = {
    "attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj", "attn_qkv": "qkv_proj", "attn_gate": "gate_proj",
    "attn_q_a": "q_a_proj", "attn_q_b": "q_b_proj", "attn_kv_a_mqa": "kv_a_proj_with_mqa", "attn_kv_b": "kv_b_proj",
    "attn_q_norm": "q_norm", "attn_k_norm": "k_norm", "attn_q_a_norm": "q_a_layernorm", "attn_kv_a_norm": "kv_a_layernorm", "attn_sinks": "sinks",
}  # fmt: skip
_DELTA_NET = {
    "attn_qkv": "in_proj_qkv", "attn_gate": "in_proj_z", "ssm_alpha": "in_proj_a", "ssm_beta": "in_proj_b", "ssm_ba": "in_proj_ba",
    "ssm_out": "out_proj", "ssm_conv1d": "conv1d", "ssm_a": "A_log", "ssm_dt": "dt_bias", "ssm_norm": "norm",
}  # fmt: skip
_FEED_FORWARD = {"ffn_gate": "gate_proj", "ffn_up": "up_proj", "ffn_down": "down_proj"}
_MAMBA = {"ssm_in": "in_proj", "ssm_out": "out_proj", "ssm_x": "x_proj", "ssm_dt": "dt_proj"}

_NAMES: Mapping[str, tuple[str, str]] = {
    "token_embd": ("model.embed_tokens", EMBEDDING),
    "per_layer_token_embd": ("model.embed_tokens_per_layer", EMBEDDING),
    "output": ("lm_head", HEAD),
    "output_norm": ("model.norm", OTHER),
    "attn_norm": ("input_layernorm", OTHER),
    "ffn_norm": ("post_attention_layernorm", OTHER),
    **{stem: (f"self_attn.{name}", ATTENTION) for stem, name in _ATTENTION.items()},
    **{stem: (f"mamba.{name}", ATTENTION) for stem, name in _MAMBA.items()},
    **{stem: (f"mlp.{name}", LINEAR) for stem, name in _FEED_FORWARD.items()},
    **{f"{stem}_exps": (f"mlp.experts.*.{name}", EXPERT) for stem, name in _FEED_FORWARD.items()},
    **{f"{stem}_shexp": (f"mlp.shared_experts.{name}", LINEAR) for stem, name in _FEED_FORWARD.items()},
    "ffn_gate_up_exps": ("mlp.experts.*.gate_up_proj", EXPERT),
    "ffn_gate_inp": ("mlp.gate", ROUTER),
    "ffn_gate_inp_shexp": ("mlp.shared_expert_gate", ROUTER),
    "exp_probs_b": ("mlp.gate.e_score_correction_bias", OTHER),
    "nextn.eh_proj": ("eh_proj", NEXTN),
    "nextn.enorm": ("enorm", OTHER),
    "nextn.hnorm": ("hnorm", OTHER),
    "nextn.shared_head_norm": ("shared_head.norm", OTHER),
    "nextn.embed_tokens": ("embed_tokens", EMBEDDING),
    "nextn.shared_head_head": ("shared_head.head", HEAD),
}
"""stem of a GGUF name -> module (within its block), and role"""

_RENAMED: Mapping[str, Mapping[str, str]] = {
    "gpt-oss": {"ffn_gate_inp": "mlp.router"},
    **{arch: {stem: f"linear_attn.{name}" for stem, name in _DELTA_NET.items()} for arch in ("qwen3next", "qwen35", "qwen35moe", "qwen4exp")},
}
"""architecture -> modules that it calls otherwise"""

_GATES = ("ssm_alpha", "ssm_beta", "ssm_ba")
"""projections to one number per head: their few rows fill no block"""
_MADE_BY_CONVERTER = ("rope_freqs", "rope_factors_long", "rope_factors_short")
_FLOAT32 = ("exp_probs_b",)
"""a router's bias is F32 in the checkpoints of DeepSeek V3 and all that took it over"""


def matrices(model: Model, *, mtp: bool = True) -> tuple[Matrix, ...]:
    """All that the published text model holds; without the blocks of multi-token prediction where `mtp` is false."""
    trunk = len(model.layers) - model.n_nextn
    kept = (t for t in model.tensors if mtp or t.block is None or t.block < trunk)
    found = tuple(_of_tensors(model.architecture, kept))
    return found + (dropped_mtp(model, found) if mtp else ())


def dropped_mtp(model: Model, trunk: tuple[Matrix, ...] = ()) -> tuple[Matrix, ...]:
    """The blocks of multi-token prediction that the converter drops; none where there are none or their shape is not known.

    Each is a block like the last one, its projection and norms, and in some checkpoints copies of embedding and
    head: what adds up to the published count is taken. `trunk` are the matrices of the model itself.
    """
    count = 0 if model.n_nextn else model.parameters.mtp
    if not count:
        return ()
    trunk = trunk or tuple(_of_tensors(model.architecture, model.tensors))
    n_layer, d, vocab = len(model.layers), model.n_embd, model.n_vocab
    last = f"model.layers.{n_layer - 1}."
    block = tuple(m._replace(module=m.module.removeprefix(last)) for m in trunk if m.module.startswith(last))
    head = (Matrix("eh_proj", NEXTN, 2 * d, d), Matrix("norms", OTHER, 3 * d, 1))
    shared = (Matrix("embed_tokens", EMBEDDING, d, vocab), Matrix("shared_head.head", HEAD, d, vocab))
    for one in ((*block, *head, *shared), (*block, *head)):
        blocks, rest = divmod(count, sum(m.elements for m in one))
        if not rest:
            return tuple(m._replace(module=f"model.layers.{n_layer + i}.{m.module}") for i in range(blocks) for m in one)
    return ()


def _of_tensors(architecture: str, tensors: Iterable[Tensor]) -> Iterator[Matrix]:
    halves: dict[int, Tensor] = {}
    for tensor in tensors:
        stem = stem_of(tensor)
        if stem in ("attn_k_b", "attn_v_b") and tensor.block is not None:
            other = halves.pop(tensor.block, None)
            if other is None:
                halves[tensor.block] = tensor
            else:
                yield joined(architecture, other, tensor)
        elif (matrix := described(architecture, tensor)) is not None:
            yield matrix


def stem_of(tensor: Tensor) -> str:
    """The tensor's name without block and ending: `blk.3.ffn_up.weight` -> `ffn_up`."""
    return suffix_of(tensor.name).lstrip(".").removesuffix(".weight").removesuffix(".bias")


def described(architecture: str, tensor: Tensor) -> Matrix | None:
    """The tensor as the checkpoint has it; None for what the converter makes itself."""
    stem = stem_of(tensor)
    return None if stem.startswith(_MADE_BY_CONVERTER) else _matrix(architecture, tensor, stem)


def _matrix(architecture: str, tensor: Tensor, stem: str) -> Matrix:
    module, role = _module(architecture, tensor, stem)
    suffix = suffix_of(tensor.name)
    is_weight = tensor.name.endswith(".weight") and len(tensor.shape) in (2, 3)
    if not is_weight or (role not in (EMBEDDING, ROUTER) and (tensor.type == "f32" or not is_quantised(architecture, suffix))):
        return Matrix(module, OTHER, tensor.elements, 1, 1, stem in _FLOAT32)
    n_in, n_out, copies = (*tensor.shape, 1)[:3]
    return Matrix(module, GATE if stem in _GATES else role, n_in, n_out, copies)


def _module(architecture: str, tensor: Tensor, stem: str) -> tuple[str, str]:
    name, role = _NAMES.get(stem, (stem, LINEAR))
    name = _RENAMED.get(architecture, {}).get(stem, name)
    name += ".bias" if tensor.name.endswith(".bias") and role != OTHER else ""
    return (name if tensor.block is None else f"model.layers.{tensor.block}.{name}"), role


def joined(architecture: str, a: Tensor, b: Tensor) -> Matrix:
    """kv_b_proj (heads x (nope + v), rank) of its halves k (nope, rank, heads) and v (rank, v, heads)."""
    k, v = (a, b) if "attn_k_b" in a.name else (b, a)
    (nope, rank, heads), width = k.shape, v.shape[1]
    return Matrix(_module(architecture, k, "attn_kv_b")[0], ATTENTION, rank, heads * (nope + width))
