"""GGUF metadata of an architecture, asked without its prefix and layer by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

from tonnage.errors import CorruptError

MOST_LAYERS = 512
"""LLAMA_MAX_LAYERS (src/llama-hparams.h)"""


class Hparams(dict[str, Any]):
    """Metadata such as `block_count` or `attention.head_count`, with the loader's ways of reading it."""

    @classmethod
    def of(cls, architecture: str, metadata: Mapping[str, Any]) -> "Hparams":
        """The keys of `architecture`, their prefix taken off."""
        prefix = architecture + "."
        return cls({k[len(prefix) :]: v for k, v in metadata.items() if k.startswith(prefix)})

    def need(self, key: str) -> Any:
        """The value of `key`; CorruptError where the file has none."""
        if key not in self:
            raise CorruptError(f"the GGUF metadata lack {key!r}, which this architecture needs")
        return self[key]

    def per_layer(self, key: str, default: Any = None) -> tuple[Any, ...]:
        """`key` for every block: an array as it is, a single value repeated (get_key_or_arr)."""
        value = self.get(key, default)
        n_layer = self.n_layer
        if isinstance(value, Sequence) and not isinstance(value, str):
            return (tuple(value) + (default,) * n_layer)[:n_layer]
        return (value,) * n_layer

    @property
    def n_layer(self) -> int:
        """All blocks, those of multi-token prediction included; 1 to 512 of them, as llama.cpp takes."""
        count = self.need("block_count")
        if type(count) is not int or not 1 <= count <= MOST_LAYERS:
            raise CorruptError(f"block_count={count!r:.40}: llama.cpp takes 1 to {MOST_LAYERS} blocks")
        return count

    @property
    def n_nextn(self) -> int:
        """Blocks of multi-token prediction, the last ones."""
        return int(self.get("nextn_predict_layers") or 0)

    @property
    def head_dim(self) -> int:
        """Width of a head where `attention.key_length` is missing: embedding / heads."""
        heads = max(int(h) for h in self.per_layer("attention.head_count", 0))
        return int(self.need("embedding_length")) // heads if heads else 0

    @property
    def k_dim(self) -> int:
        """Elements of a key of one head."""
        return int(self.get("attention.key_length") or self.head_dim)

    @property
    def v_dim(self) -> int:
        """Elements of a value of one head."""
        return int(self.get("attention.value_length") or self.head_dim)
