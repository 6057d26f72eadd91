"""A model whose architecture has no rules: a bracket around it, from what any config.json tells.

The answer has the caches that the config names: windows where it names windows, none where a layer is said not to attend.
At most, keys and values of every token are kept in every layer. At least, what the config names, where it names it for every
layer in known words, and no cache at all where it does not: an unknown architecture may share, compress or drop it.
Whatever else is unknown is as in a model of bare numbers. Only asked for with `approximate`; a bracket is marked as one.
"""

from collections.abc import Mapping
from typing import Any

from tonnage.errors import QuestionError, SourceError, UnsupportedError
from tonnage.frozen import replace
from tonnage.model import custom
from tonnage.model.build import from_config
from tonnage.model.config import Config
from tonnage.model.types import Attention, Layer, Model

FULL, SLIDING = ("full", "attention", "global"), ("sliding", "local", "window", "chunked", "swa")
"""beginnings and parts of the words by which `layer_types` tell what a layer attends to"""


def model(raw: Mapping[str, Any], name: str, source: str, params: int | None) -> Model:
    """A plain decoder of a config's shape, with the least and the most in `between`; `params` is the published count, if any.

    Raises UnsupportedError where the config does not even tell layers, width, heads and vocabulary.
    """
    config = Config(raw)
    try:
        numbers = custom.filled(_numbers(config, params))
        built = from_config(custom.config(numbers), name, source)
    except (QuestionError, SourceError, ArithmeticError, TypeError, ValueError) as error:
        raise UnsupportedError(f"{name} cannot be bracketed: {error}") from None
    kinds = _kinds(config)
    named = tuple(_named(layer, kind, config) for layer, kind in zip(built.layers, kinds, strict=True))
    bare = tuple(replace(layer, mixers=()) for layer in built.layers)
    most = replace(built, basis="assumed")
    least = replace(most, layers=named if _is_told(config) else bare)
    note = (
        f"A bracket: there are no rules for {'/'.join(config.model_types) or 'this architecture'}. Its layers are taken as the config names them; "
        f"at most all {len(kinds)} keep keys and values. Weights are those of a plain decoder of {built.parameters.text:,} parameters."
    )
    return replace(most, layers=named, notes=(note,), between=(least, most))


def _numbers(config: Config, params: int | None) -> dict[str, int]:
    heads = int(config.n_head)
    found = {
        "layers": int(config.n_layer), "hidden": int(config.n_embd), "vocab": int(config.n_vocab), "heads": heads,
        "kv_heads": config.kv_heads, "head_dim": config.k_dim, "context": int(config.get("n_ctx_train") or custom.DEFAULTS["context"]),
    }  # fmt: skip
    experts, used = int(config.get("n_expert") or 0), int(config.get("n_expert_used") or 0)
    if experts > used > 0:
        found |= {"experts": experts, "used": used}
    found["params"] = params or _counted(config, found)
    if "experts" in found:
        found["active"] = found["params"] * used // experts
    return found


def _counted(config: Config, n: Mapping[str, int]) -> int:
    """Parameters of a plain decoder of this shape, where none are published."""
    d = n["hidden"]
    ff = int(config.get("n_ff_exp") or config.n_ff) if "experts" in n else int(config.n_ff)
    attention = 2 * d * n["head_dim"] * (n["heads"] + n["kv_heads"])
    return 2 * n["vocab"] * d + n["layers"] * (attention + 3 * d * ff * n.get("experts", 1))


def _kinds(config: Config) -> list[str]:
    """A word for what each layer attends to."""
    told = config.get("layer_types")
    return [str(kind) for kind in told] if told and len(told) == config.n_layer else ["full"] * int(config.n_layer)


COMPRESSED = ("kv_lora_rank", "compress_ratios", "kv_source_layers", "kv_source_layer_ids")
"""fields that say that less is kept than keys and values of all heads"""


def _is_told(config: Config) -> bool:
    """Whether the config says in known words what every layer attends to, and nothing of keeping less."""
    kinds = config.get("layer_types")
    known = bool(kinds) and all(any(word in str(kind) for word in (*FULL, *SLIDING, "conv", "linear", "mamba")) for kind in kinds)
    return known and not any(field in config for field in COMPRESSED)


def _named(layer: Layer, kind: str, config: Config) -> Layer:
    window = int(config.get("sliding_window") or config.get("sliding_window_size") or 0)
    (attention,) = layer.mixers
    assert isinstance(attention, Attention)
    if any(word in kind for word in SLIDING) and window:
        return replace(layer, mixers=(replace(attention, window=window),))
    return layer if any(word in kind for word in FULL) and "linear" not in kind else replace(layer, mixers=())
