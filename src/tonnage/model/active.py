"""What of a model one token runs through: the share of its experts, and what its attention multiplies."""

from collections import Counter
from collections.abc import Iterator

from tonnage.model.types import Attention, Compressed, Experts, Latent, Model


def expert_share(model: Model) -> float:
    """Experts that a token is sent to, of all of a block; 1 without experts."""
    return next((layer.ffn.used / layer.ffn.count for layer in model.layers if isinstance(layer.ffn, Experts)), 1.0)


def top_k(model: Model) -> int:
    """Tokens that sparse attention chooses; 0 where the metadata do not say."""
    return int(model.hparams.get("attention.indexer.top_k") or 0)


def attention_widths(model: Model) -> Iterator[tuple[float, int]]:
    """(heads times the mean length of keys and values, summed over layers; tokens that they see at most, 0 for all)."""
    widths: Counter[int] = Counter()
    chosen = top_k(model)
    for mixer in (mixer for layer in model.layers if not layer.nextn for mixer in layer.mixers):
        if isinstance(mixer, Attention):
            widths[mixer.window or (chosen if mixer.indexer else 0)] += mixer.heads * (mixer.k_dim + mixer.v_dim)
        elif isinstance(mixer, Latent):
            keys = int(model.hparams.get("attention.key_length_mla") or mixer.width)
            values = int(model.hparams.get("attention.value_length_mla") or mixer.kv_lora_rank)
            widths[chosen if mixer.indexer else 0] += mixer.heads * (keys + values)
        elif isinstance(mixer, Compressed):
            widths[mixer.window] += 2 * mixer.heads * mixer.head_dim
            widths[0] += 2 * mixer.heads * mixer.head_dim // mixer.ratio if mixer.ratio else 0
    yield from ((width / 2, window) for window, width in sorted(widths.items()) if width)
