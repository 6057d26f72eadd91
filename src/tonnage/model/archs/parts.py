"""The building blocks that families are composed of: tensors by GGUF name, metadata, layers.

The converter writes a BF16 checkpoint's matrices as BF16 and keeps vectors, norms and routers F32
(llama.cpp build 11434, conversion/base.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Dense, Experts, FeedForward, Layer, Mixer, Tensor

# --- tensors ------------------------------------------------------------------------------------


def vector(name: str, *shape: int) -> Tensor:
    """A tensor that stays F32: a norm, a bias, a router, anything not called `.weight`."""
    return Tensor(name, shape, "f32")


def norm(name: str, n: int) -> Tensor:
    """The scale of a normalisation."""
    return Tensor(f"{name}.weight", (n,), "f32")


def matrix(name: str, n_in: int, *n_out: int) -> Tensor:
    """A matrix from `n_in` to `n_out`, or a stack of them where `n_out` has two numbers."""
    return Tensor(f"{name}.weight", (n_in, *n_out), "bf16")


def linear(name: str, n_in: int, n_out: int, bias: bool = False) -> list[Tensor]:
    """A matrix and, where there is one, its bias."""
    return [matrix(name, n_in, n_out), *([vector(f"{name}.bias", n_out)] if bias else [])]


def gqa(n_embd: int, heads: int, kv_heads: int, head_dim: int, *, bias: bool = False, out_bias: bool = False) -> list[Tensor]:
    """The four projections of grouped-query attention."""
    return [
        *linear("attn_q", n_embd, heads * head_dim, bias),
        *linear("attn_k", n_embd, kv_heads * head_dim, bias),
        *linear("attn_v", n_embd, kv_heads * head_dim, bias),
        *linear("attn_output", heads * head_dim, n_embd, out_bias),
    ]


def qk_norms(q: int, k: int | None = None) -> list[Tensor]:
    """Norms of queries and keys, per head or over all heads as `q` and `k` say."""
    return [norm("attn_q_norm", q), norm("attn_k_norm", k or q)]


def gated_ffn(n_embd: int, n_ff: int, suffix: str = "") -> list[Tensor]:
    """Gate, up and down of a feed-forward part; `suffix` is `_shexp` for a shared expert."""
    return [
        matrix(f"ffn_gate{suffix}", n_embd, n_ff),
        matrix(f"ffn_up{suffix}", n_embd, n_ff),
        matrix(f"ffn_down{suffix}", n_ff, n_embd),
    ]


def ungated_ffn(n_embd: int, n_ff: int) -> list[Tensor]:
    """Up and down of a feed-forward part without a gate."""
    return [matrix("ffn_up", n_embd, n_ff), matrix("ffn_down", n_ff, n_embd)]


def gated_experts(n_embd: int, n_ff: int, n_expert: int) -> list[Tensor]:
    """Router and the stacked gate, up and down of all experts."""
    return [
        vector("ffn_gate_inp.weight", n_embd, n_expert),
        matrix("ffn_gate_exps", n_embd, n_ff, n_expert),
        matrix("ffn_up_exps", n_embd, n_ff, n_expert),
        matrix("ffn_down_exps", n_ff, n_embd, n_expert),
    ]


def pre_norm_block(config: Config, ffn: Iterable[Tensor], *, bias: bool = False, qk_norm: bool = False) -> list[Tensor]:
    """Norm, grouped-query attention, norm, `ffn`: the block of Llama and of most that followed it."""
    d = config.n_embd
    attention = gqa(d, config.n_head, config.kv_heads, config.k_dim, bias=bias)
    norms = qk_norms(config.k_dim) if qk_norm else []
    return [norm("attn_norm", d), *attention, *norms, norm("ffn_norm", d), *ffn]


def sandwich_block(n_embd: int, attention: Iterable[Tensor], ffn: Iterable[Tensor]) -> list[Tensor]:
    """A block with norms before and after both of its parts (Gemma 2 and later, GLM-4)."""
    return [
        norm("attn_norm", n_embd),
        *attention,
        norm("post_attention_norm", n_embd),
        norm("ffn_norm", n_embd),
        *ffn,
        norm("post_ffw_norm", n_embd),
    ]


def post_norm_block(n_embd: int, attention: Iterable[Tensor], ffn: Iterable[Tensor]) -> list[Tensor]:
    """A block with norms behind both of its parts alone (OLMo 2, EXAONE 4)."""
    return [*attention, norm("post_attention_norm", n_embd), *ffn, norm("post_ffw_norm", n_embd)]


def moe(config: Config, *, selection_bias: bool = True) -> list[Tensor]:
    """DeepSeek's feed-forward part: experts, a bias on their choice, and experts that run for every token."""
    d, width, n_shared = config.n_embd, config.n_ff_exp, int(config.get("n_expert_shared", 0))
    return [
        *gated_experts(d, width, config.n_expert),
        *([vector("exp_probs_b.bias", config.n_expert)] if selection_bias else []),
        *(gated_ffn(d, n_shared * width, "_shexp") if n_shared else []),
    ]


def hyper_connections(n_embd: int, streams: int, mix: int, scales: int) -> list[Tensor]:
    """What mixes the residual streams before attention and before the feed-forward part."""
    return [t for site in ("hc_attn", "hc_ffn") for t in hyper_connection(site, n_embd * streams, mix, scales)]


def hyper_connection(name: str, n_in: int, mix: int, scales: int) -> list[Tensor]:
    """One mixing of residual streams; published, and kept, as F32."""
    return [vector(f"{name}_fn.weight", n_in, mix), vector(f"{name}_base.weight", mix), vector(f"{name}_scale.weight", scales)]


def nextn_head(n_embd: int) -> list[Tensor]:
    """What a multi-token-prediction block has besides a layer's tensors."""
    return [
        matrix("nextn.eh_proj", 2 * n_embd, n_embd),
        norm("nextn.enorm", n_embd),
        norm("nextn.hnorm", n_embd),
        norm("nextn.shared_head_norm", n_embd),
    ]


def nextn_copies(config: Config) -> list[Tensor]:
    """Embedding and head, which some checkpoints store a second time in their multi-token-prediction block."""
    return [matrix("nextn.embed_tokens", config.n_embd, config.n_vocab), matrix("nextn.shared_head_head", config.n_embd, config.n_vocab)]


def block(i: int, tensors: Iterable[Tensor]) -> Iterator[Tensor]:
    """`tensors` under the name of block `i`."""
    return (Tensor(f"blk.{i}.{name}", shape, kind) for name, shape, kind in tensors)


def stack(config: Config, blocks: Iterable[Iterable[Tensor]], *more: Tensor, tied: bool | None = None) -> tuple[Tensor, ...]:
    """Embedding, final norm, head (unless tied), `more`, and the blocks in order."""
    d, vocab = config.n_embd, config.n_vocab
    head = () if (config.is_tied if tied is None else tied) else (matrix("output", d, vocab),)
    outer = (matrix("token_embd", d, vocab), norm("output_norm", d), *head, *more)
    return outer + tuple(t for i, tensors in enumerate(blocks) for t in block(i, tensors))


# --- metadata -----------------------------------------------------------------------------------


def base_hparams(config: Config, **more: Any) -> dict[str, Any]:
    """What the converter writes for every decoder (TextModel.set_gguf_parameters); `more` wins.

    Keys of `more` are written with `__` for the dot; a value of None leaves the key out.
    """
    hparams = {
        "block_count": config.n_layer,
        "context_length": config.get("n_ctx_train"),
        "embedding_length": config.n_embd,
        "feed_forward_length": config.get("n_ff"),
        "attention.head_count": config.get("n_head"),
        "attention.head_count_kv": config.get("n_head_kv"),
        "attention.key_length": config.get("head_dim"),
        "attention.value_length": config.get("head_dim"),
        "expert_count": config.get("n_expert"),
        "expert_used_count": config.get("n_expert_used"),
        "vocab_size": config.n_vocab,
        **_router(config),
        "attn_logit_softcapping": config.get("attn_logit_softcapping"),
        "final_logit_softcapping": config.get("final_logit_softcapping"),
        "rope.dimension_sections": _sections(config),
        "attention.temperature_scale": (config.get("rope_parameters") or {}).get("llama_4_scaling_beta"),
    }
    hparams |= {key.replace("__", "."): value for key, value in more.items()}
    return {key: value for key, value in hparams.items() if value is not None}


GATING = {"softmax": 1, "sigmoid": 2, "sqrtsoftplus": 4}
"""llama_expert_gating_func_type by the config's word"""


def _router(config: Config) -> dict[str, Any]:
    """How experts are chosen, as far as the config says."""
    gating = config.get("scoring_func", config.get("moe_router_activation_func"))
    scale = next((config.get(k) for k in ("routed_scaling_factor", "moe_routed_scaling_factor", "router_scaling_factor") if k in config), None)
    return {
        "expert_group_count": config.get("n_group"),
        "expert_group_used_count": config.get("topk_group"),
        "expert_gating_func": GATING.get(gating),
        "expert_weights_norm": config.get("norm_topk_prob", config.get("moe_renormalize")),
        "expert_weights_scale": scale,
    }


def _sections(config: Config) -> list[int] | None:
    """Multimodal rotation: pairs per axis, the fourth 0."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    sections = rope.get("mrope_section") if isinstance(rope, dict) else None
    return (list(sections) + [0] * 4)[:4] if sections else None


def with_defaults(config: Config, **defaults: Any) -> Config:
    """`config` with the values that its class in transformers 5.23 has for fields that a file may leave out."""
    return Config({**defaults, **config.raw})


def sliding_pattern(config: Config) -> list[bool] | None:
    """Which blocks look through a window, however the config says so; None where it does not."""
    if kinds := config.get("layer_types"):
        return [kind == "sliding_attention" for kind in kinds]
    pattern = config.get("sliding_window_pattern")
    if isinstance(pattern, str):  # "LLLG"
        return [pattern[i % len(pattern)] == "L" for i in range(config.n_layer)]
    return [(i + 1) % pattern != 0 for i in range(config.n_layer)] if pattern else None


def leading_dense(config: Config) -> int:
    """Blocks before the first one with experts, however the config says so."""
    if "n_dense_first" in config:
        return int(config.n_dense_first)
    kinds = config.get("mlp_layer_types") or config.get("moe_layer_freq")
    if isinstance(kinds, list):
        return next((i for i, kind in enumerate(kinds) if kind not in (0, "dense")), len(kinds))
    return 0 if "n_expert" in config else int(config.n_layer)


def rope_freqs(config: Config) -> tuple[Tensor, ...]:
    """The factors that the converter adds for Llama 3 scaling: one per rotated pair."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = rope.get("full_attention", rope)
    kind = rope.get("rope_type", rope.get("type"))
    return (vector("rope_freqs.weight", config.k_dim // 2),) if kind == "llama3" else ()


# --- layers ---------------------------------------------------------------------------------------


def ffn_of(hp: Hparams, i: int) -> FeedForward | None:
    """The feed-forward part of block `i` by the common keys: leading dense blocks, then experts."""
    n_expert = int(hp.get("expert_count") or 0)
    if n_expert and i >= int(hp.get("leading_dense_block_count") or 0):
        width = int(hp.get("expert_feed_forward_length") or hp.per_layer("feed_forward_length", 0)[i])
        shared = hp.get("expert_shared_feed_forward_length")
        if shared is None:
            shared = width * int(hp.get("expert_shared_count") or 0)
        return Experts(n_expert, int(hp.get("expert_used_count") or 0), width, int(shared))
    width = int(hp.per_layer("feed_forward_length", 0)[i] or 0)
    return Dense(width) if width else None


def attention_layers(
    hp: Hparams, window_of: Callable[[int], int] = lambda i: 0, *, chunked: bool = False, ffn: Callable[[Hparams, int], FeedForward | None] = ffn_of
) -> tuple[Layer, ...]:
    """A decoder whose every block attends; `window_of` says how far block `i` looks (0: everywhere).

    A block without KV heads has no attention (DeciLM).
    """
    heads = hp.per_layer("attention.head_count", 0)
    kv_heads = hp.per_layer("attention.head_count_kv", heads[0])

    def layer(i: int) -> Layer:
        attention = Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim, window_of(i), chunked and window_of(i) > 0)
        return Layer((attention,) if kv_heads[i] else (), ffn(hp, i), i >= hp.n_layer - hp.n_nextn)

    return tuple(layer(i) for i in range(hp.n_layer))


def mixer_layers(hp: Hparams, mixer_of: Callable[[int], Mixer], ffn: Callable[[Hparams, int], FeedForward | None] = ffn_of) -> tuple[Layer, ...]:
    """A decoder whose block `i` mixes tokens as `mixer_of(i)` says."""
    return tuple(Layer((mixer_of(i),), ffn(hp, i), i >= hp.n_layer - hp.n_nextn) for i in range(hp.n_layer))


def windows(hp: Hparams, period: int, *, first_full: bool = False, window: int = 0) -> Callable[[int], int]:
    """Windows as the metadata's pattern lists them, else of all but each `period`-th block of the trunk (load_swa_pattern).

    `first_full` says whether a period begins with its full block or ends with it. `window` is the
    loader's own value where the metadata need not have one.
    """
    window = int(hp.get("attention.sliding_window", window) or 0)
    pattern = hp.get("attention.sliding_window_pattern", period)
    if isinstance(pattern, Sequence):
        return lambda i: window if i < len(pattern) and pattern[i] else 0
    period, trunk = int(pattern), hp.n_layer - hp.n_nextn
    full = 0 if first_full else period - 1
    return lambda i: window if i < trunk and (not period or i % period != full) else 0


def kv_source(i: int, owners: int, window: int) -> int | None:
    """The block whose cache block `i` reads where only the first `owners` have one: their last of its kind (Gemma 3n, 4)."""
    return None if i < owners else owners - (2 if window else 1)
