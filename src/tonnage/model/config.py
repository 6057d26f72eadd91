"""One vocabulary for the many spellings of a Hugging Face config.json.

A config is read from `text_config` where there is one, with the top level behind it.
Spellings: transformers 5.23 and the published files of the built-in catalogue.
"""

from collections.abc import Mapping
from typing import Any

from tonnage.errors import CorruptError, SourceError

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "n_layer": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "n_embd": ("hidden_size", "n_embd", "d_model", "dim"),
    "n_vocab": ("vocab_size", "padded_vocab_size"),
    "n_ctx_train": ("max_position_embeddings", "n_ctx", "n_positions", "max_sequence_length", "model_max_length"),
    "n_ff": ("prefix_dense_intermediate_size", "dense_intermediate_size", "intermediate_size", "n_inner", "hidden_dim"),
    "n_head": ("num_attention_heads", "n_head", "n_heads"),
    "n_head_kv": ("num_key_value_heads", "num_attention_groups", "n_kv_heads"),
    "head_dim": ("head_dim", "attention_head_dim"),
    "n_expert": ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"),
    "n_expert_used": ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k", "top_k_experts"),
    "n_ff_exp": ("moe_intermediate_size", "expert_ffn_hidden_size"),
    "n_expert_shared": ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts"),
    "n_ff_shexp": ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
                   "shared_intermediate_size", "share_expert_dim", "intermediate_size_mlp"),
    "n_dense_first": ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index"),
    "n_nextn": ("mtp_num_hidden_layers", "num_nextn_predict_layers", "num_mtp_modules", "_num_mtp_layers"),
    "window": ("sliding_window", "sliding_window_size"),
    "tied": ("tie_word_embeddings",),
}  # fmt: skip


class Config:
    """A config.json, asked in our words (`config.n_embd`) or in its own (`config["q_lora_rank"]`)."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        if not isinstance(raw, Mapping):
            raise CorruptError("a config.json must hold one JSON object")
        text = raw.get("text_config") or raw.get("llm_config") or raw.get("language_config")
        self.raw = raw
        self._fields: dict[str, Any] = {**raw, **text} if isinstance(text, Mapping) else dict(raw)

    @property
    def model_types(self) -> tuple[str, ...]:
        """The outer model_type and, where there is one, the text model's."""
        inner = self._fields.get("model_type")
        return tuple(dict.fromkeys(t for t in (self.raw.get("model_type"), inner) if t))

    @property
    def architecture(self) -> str:
        """The class that the checkpoint names; empty when it names none."""
        return next(iter(self.raw.get("architectures") or self._fields.get("architectures") or ()), "")

    def get(self, key: str, default: Any = None) -> Any:
        """The field `key`, in our word or in its own spelling; `default` where it is absent or null."""
        for spelling in SPELLINGS.get(key, (key,)):
            value = self._fields.get(spelling)
            if value is not None:
                return value
        return default

    def __getitem__(self, key: str) -> Any:
        value = self.get(key)
        if value is None:
            names = " / ".join(SPELLINGS.get(key, (key,)))
            raise SourceError(f"config.json of model_type {'/'.join(self.model_types) or '?'} lacks {names}")
        return value

    def __getattr__(self, key: str) -> Any:
        if key.startswith("_") or key not in SPELLINGS:
            raise AttributeError(key)
        return self[key]

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    @property
    def k_dim(self) -> int:
        """Elements of one head: `head_dim`, or the hidden size shared out among the heads."""
        return int(self.get("head_dim") or self.n_embd // self.n_head)

    @property
    def kv_heads(self) -> int:
        """Heads that keep keys and values; all of them where the config names no fewer."""
        return int(self.get("n_head_kv", self.n_head))

    @property
    def is_tied(self) -> bool:
        """Whether embedding and head share one matrix."""
        outer = self.raw.get("tie_word_embeddings")
        return bool(self.get("tied", outer))
