"""What every kind of layer keeps, in words: the model's part of an answer."""

from collections import Counter
from functools import lru_cache

from tonnage.engines.llamacpp.cache import cache_tensors, widest_v
from tonnage.engines.llamacpp.settings import Settings
from tonnage.model.types import Attention, Compressed, Latent, Layer, Mixer, Model


@lru_cache(maxsize=256)
def caches(model: Model, settings: Settings) -> tuple[tuple[str, int, str], ...]:
    """(kind of layer, how many, what each keeps), the most frequent first."""
    v_width = widest_v(model)
    counted = Counter((kind(layer), _keeps(layer, settings, v_width)) for layer in model.layers if not layer.nextn)
    return tuple((name, count, keeps) for (name, keeps), count in counted.most_common())


def kind(layer: Layer) -> str:
    """The layer's mixers in words."""
    return " + ".join(_mixer(m) for m in layer.mixers) or "none"


def _mixer(mixer: Mixer) -> str:
    if isinstance(mixer, Attention):
        if mixer.kv_layer is not None:
            return "shared attention"
        if not mixer.kv_heads:
            return "none"
        words = f"chunked {mixer.window}" if mixer.chunked else f"sliding {mixer.window}" if mixer.window else "full attention"
        return words + (" with indexer" if mixer.indexer else "")
    if isinstance(mixer, Latent):
        return "latent attention" + (" with indexer" if mixer.indexer else "")
    if isinstance(mixer, Compressed):
        return f"compressed 1:{mixer.ratio}" if mixer.ratio else f"sliding {mixer.window}"
    return {"gated_delta": "gated delta net", "short_conv": "short convolution"}.get(mixer.kind, mixer.kind)


def _keeps(layer: Layer, settings: Settings, v_width: int) -> str:
    lines = [f"{t.row} x {t.rows} {t.type}" for t in cache_tensors(layer, settings, v_width)]
    return " + ".join(lines) or "nothing"
