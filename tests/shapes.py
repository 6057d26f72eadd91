"""Tensor lists and metadata out of the few numbers that llama-quantize-cases.json writes down for a model."""

from collections.abc import Iterator, Mapping
from typing import Any

from tonnage.model.types import Tensor

Shapes = Mapping[str, Any]
Part = tuple[str, tuple[int, ...]]
"""name without its block, and shape"""


def metadata(s: Shapes) -> dict[str, Any]:
    """What the quantiser reads, under GGUF's names."""
    return {
        "block_count": s["n_layer"] + s.get("n_nextn", 0),
        "nextn_predict_layers": s.get("n_nextn", 0),
        "attention.head_count": s["n_head"],
        "attention.head_count_kv": s.get("n_head_kv_meta", s["n_head_kv"]),
        "expert_count": s.get("n_expert", 0),
    }


def tensors(s: Shapes) -> tuple[Tensor, ...]:
    """The whole file as the converter writes it from a BF16 source."""
    d, vocab = s["n_embd"], s["n_vocab"]
    ends: list[Part] = [("token_embd.weight", (d, vocab)), ("output_norm.weight", (d,))]
    ends += [] if s.get("tied") else [("output.weight", (d, vocab))]
    ends += [("rope_freqs.weight", (s["head_dim"] // 2,))] if s.get("rope_freqs") else []
    blocks = [(f"blk.{i}.{name}", shape) for i in range(s["n_layer"] + s.get("n_nextn", 0)) for name, shape in _block(s, i)]
    return tuple(Tensor(name, shape, "f32" if _is_float32(name, shape) else "bf16") for name, shape in ends + blocks)


def _is_float32(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 1 or not name.endswith(".weight") or any(part in name for part in ("_norm", "ffn_gate_inp", "conv1d"))


def _block(s: Shapes, i: int) -> Iterator[Part]:
    yield from ((f"{name}.weight", (s["n_embd"],)) for name in _NORMS.get(s["arch"], ("attn_norm", "ffn_norm")))
    yield from _mixer(s, i)
    yield from _feed_forward(s, i)
    yield from _nextn(s) if i >= s["n_layer"] else ()


_NORMS = {
    "gemma2": ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"),
    "gemma3": ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"),
    "gpt-oss": ("attn_norm", "post_attention_norm"),
    "glm4moe": ("attn_norm", "post_attention_norm"),
    "qwen35": ("attn_norm", "post_attention_norm"),
    "qwen35moe": ("attn_norm", "post_attention_norm"),
}


def _mixer(s: Shapes, i: int) -> Iterator[Part]:
    if s["arch"] == "deepseek2":
        return _latent_attention(s)
    return _delta_net(s) if "ssm_d" in s and (i + 1) % 4 else _attention(s)


def _attention(s: Shapes) -> Iterator[Part]:
    arch, d, head = s["arch"], s["n_embd"], s["head_dim"]
    q, k = s["n_head"] * head, s["n_head_kv"] * head
    # Qwen3.5's query projection yields a gate as well
    widths = {"q": 2 * q if "ssm_d" in s else q, "k": k, "v": k}
    yield from ((f"attn_{name}.weight", (d, width)) for name, width in widths.items())
    yield "attn_output.weight", (q, d)
    if arch in ("qwen2", "glm4moe", "gpt-oss"):
        yield from ((f"attn_{name}.bias", (width,)) for name, width in widths.items())
    if arch in ("qwen3", "qwen3moe", "qwen35", "qwen35moe", "gemma3"):
        yield from ((f"attn_{name}_norm.weight", (head,)) for name in "qk")
    if arch == "gpt-oss":
        yield from (("attn_output.bias", (d,)), ("attn_sinks.weight", (s["n_head"],)))


def _latent_attention(s: Shapes) -> Iterator[Part]:
    d, heads, q, kv, nope, rope, hv = (s[key] for key in ("n_embd", "n_head", "q_lora", "kv_lora", "nope", "rope", "hv"))
    yield from (("attn_q_a.weight", (d, q)), ("attn_q_a_norm.weight", (q,)), ("attn_q_b.weight", (q, heads * (nope + rope))))
    yield from (("attn_kv_a_mqa.weight", (d, kv + rope)), ("attn_kv_a_norm.weight", (kv,)))
    yield from (("attn_k_b.weight", (nope, kv, heads)), ("attn_v_b.weight", (kv, hv, heads)), ("attn_output.weight", (heads * hv, d)))


def _delta_net(s: Shapes) -> Iterator[Part]:
    d, inner = s["n_embd"], s["ssm_nv"] * s["ssm_d"]
    mixed = inner + 2 * s["ssm_ng"] * s["ssm_d"]
    yield from (("ssm_a", (s["ssm_nv"],)), ("ssm_dt.bias", (s["ssm_nv"],)), ("ssm_norm.weight", (s["ssm_d"],)))
    yield from (("ssm_conv1d.weight", (s["conv"], mixed)), ("ssm_alpha.weight", (d, s["ssm_nv"])), ("ssm_beta.weight", (d, s["ssm_nv"])))
    yield from (("attn_qkv.weight", (d, mixed)), ("attn_gate.weight", (d, inner)), ("ssm_out.weight", (inner, d)))


def _feed_forward(s: Shapes, i: int) -> Iterator[Part]:
    if not s.get("n_expert") or i < s.get("n_dense", 0):
        yield from _gated(s["n_embd"], s["n_ff"])
        return
    d, n, width = s["n_embd"], s["n_expert"], s.get("n_ff_exp", s.get("n_ff"))
    yield "ffn_gate_inp.weight", (d, n)
    yield from _gated(d, width, "_exps", (n,))
    shared = s.get("n_ff_shexp", s.get("n_shexp", 0) * width)
    if shared:
        yield from _gated(d, shared, "_shexp")
    if "n_ff_shexp" in s:
        yield "ffn_gate_inp_shexp.weight", (d,)
    if "n_dense" in s:
        yield "exp_probs_b.bias", (n,)
    if s["arch"] == "gpt-oss":
        yield "ffn_gate_inp.bias", (n,)
        yield from ((f"ffn_{name}_exps.bias", (size, n)) for name, size in (("gate", width), ("up", width), ("down", d)))


def _gated(d: int, width: int, kind: str = "", experts: tuple[int, ...] = ()) -> Iterator[Part]:
    for name, shape in (("gate", (d, width)), ("up", (d, width)), ("down", (width, d))):
        yield f"ffn_{name}{kind}.weight", shape + experts


def _nextn(s: Shapes) -> Iterator[Part]:
    d, vocab = s["n_embd"], s["n_vocab"]
    yield from ((f"nextn.{name}.weight", (d,)) for name in ("enorm", "hnorm", "shared_head_norm"))
    yield "nextn.eh_proj.weight", (2 * d, d)
    if s.get("nextn_embed"):
        yield from ((f"nextn.{name}.weight", (d, vocab)) for name in ("embed_tokens", "shared_head_head"))
