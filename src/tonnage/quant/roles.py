"""What a tensor is to the quantiser, told by its name alone: its role, and whether it is quantised at all.

Source: src/llama-quant.cpp of llama.cpp, build 11434 (tensor_get_category,
tensor_allows_quantization). Names are asked without their block: `.attn_v.weight`.
"""

from functools import lru_cache

OUTPUT, EMBEDDING, OTHER = "output", "embedding", "other"
ATTN_V, FUSED, KV_B = "attn_v", "attn_qkv", "attn_kv_b"

_ROOTS = {"output.weight": OUTPUT, "token_embd.weight": EMBEDDING, "per_layer_token_embd.weight": EMBEDDING}

_ROLES = (
    ("attn_qkv.weight", FUSED),
    ("attn_kv_b.weight", KV_B),
    ("attn_v.weight", ATTN_V),
    ("attn_k.weight", "attn_k"),
    ("attn_q.weight", "attn_q"),
    ("attn_output.weight", "attn_output"),
    ("ffn_up", "ffn_up"),
    ("ffn_gate", "ffn_gate"),
    ("ffn_down", "ffn_down"),
)
"""part of a name -> role; the first that is found counts"""

_KEPT_NAMES = ("position_embd.weight", "token_types.weight")

_KEPT = (
    "_norm.weight",
    # routers
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    # Gemma 3n
    "altup",
    "laurel",
    "per_layer_model_proj",
    # convolutions
    "ssm_conv1d",
    "shortconv.conv.weight",
    # MiniMax's indexer
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    # RWKV
    *(f"time_mix_{part}.weight" for part in ("first", "w0", "w1", "w2", "v0", "v1", "v2", "a0", "a1", "a2", "g1", "g2")),
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    # T5
    "attn_rel_b.weight",
    # vision and audio
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
)
"""a tensor with one of these in its name keeps the type of its source"""

_KEPT_OF = {
    "glm5-next": (
        "hc_",
        "indexer.attn_q_b",
        "indexer.attn_k",
        "indexer.proj",
        "indexer_compressor_gate",
        "indexer_compressor_ape",
        *(f"ssm_{part}.weight" for part in ("f_a", "f_b", "g_a", "g_b", "beta")),
        *(f"attn_{part}.weight" for part in ("kv_a_mqa", "k_b", "v_b")),
    )
}

_PINNED = {"glm5-next": (("attn_q_a", "attn_q_b", "nextn.eh_proj"), "q8_0")}
"""architecture -> parts of names, and the one type that every quantising recipe gives them"""


def suffix_of(name: str) -> str:
    """`name` without its block: `blk.7.attn_v.weight` -> `.attn_v.weight`."""
    return name[name.index(".", 4) :] if name.startswith("blk.") else name


@lru_cache(maxsize=4096)
def role_of(suffix: str) -> str:
    """The role of a tensor; OTHER for those that no recipe singles out."""
    return _ROOTS.get(suffix) or next((role for part, role in _ROLES if part in suffix), OTHER)


@lru_cache(maxsize=4096)
def is_quantised(architecture: str, suffix: str) -> bool:
    """Whether a matrix of this name is quantised; one that is not keeps the type of its source."""
    kept = (*_KEPT, *_KEPT_OF.get(architecture, ()))
    return suffix.endswith("weight") and suffix not in _KEPT_NAMES and not any(part in suffix for part in kept)


@lru_cache(maxsize=4096)
def pinned_type(architecture: str, suffix: str) -> str:
    """The type that every quantising recipe gives this tensor; empty for nearly all."""
    parts, type_ = _PINNED.get(architecture, ((), ""))
    return type_ if any(part in suffix for part in parts) else ""


def is_matrix(shape: tuple[int, ...]) -> bool:
    """Whether ggml counts two dimensions or more: those of length one at the end do not count."""
    return any(n > 1 for n in shape[1:])
