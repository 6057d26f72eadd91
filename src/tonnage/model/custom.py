"""A model from bare numbers: what a plausible decoder of that size would be, every guess said.

`params=122e9,layers=48,kv_heads=2` is enough. What is left out is assumed as most published models
have it, and each assumption is a note of the answer.
"""

from collections.abc import Mapping
from math import sqrt

from tonnage.errors import QuestionError, nearest
from tonnage.frozen import replace
from tonnage.model.build import from_config
from tonnage.model.types import Attention, Layer, Model
from tonnage.units import pad

REQUIRED = ("params", "layers", "kv_heads")
KEYS = {
    "params": "all parameters, such as 122e9",
    "active": "parameters that one token runs through; fewer than all make it a mixture of experts",
    "layers": "blocks",
    "full_layers": "blocks whose cache grows with the context; all of them where it is left out",
    "sliding_layers": "blocks that look through a window",
    "window": "tokens of that window",
    "kv_heads": "key heads of an attention block",
    "head_dim": "elements of a head",
    "heads": "query heads",
    "hidden": "width of the hidden state",
    "vocab": "entries of the vocabulary",
    "experts": "experts of a block",
    "used": "experts per token",
    "context": "tokens that the model was trained for",
}
"""key -> what it is"""

DEFAULTS = {"head_dim": 128, "vocab": 151936, "used": 8, "context": 131072, "window": 4096}
MOST = 10**14


def model(text: str) -> Model:
    """The model of `key=value,...`; QuestionError for what is missing, unknown or impossible."""
    given = _numbers(text)
    missing = [key for key in REQUIRED if key not in given]
    if missing:
        raise QuestionError(f"a model of bare numbers needs {', '.join(missing)}; e.g. params=8e9,layers=32,kv_heads=8,head_dim=128")
    numbers = filled(given)
    built = from_config(config(numbers), text, "bare numbers")
    assumed = [f"{key}={numbers[key]:,}" for key in numbers if key not in given]
    note = f"Assumed: {', '.join(assumed)}. The tensors are those of a plausible decoder of {built.parameters.text:,} parameters."
    layers = tuple(_layer(i, layer, numbers) for i, layer in enumerate(built.layers))
    return replace(built, layers=layers, basis="assumed", notes=(note, *_unknown_state(numbers)))


def _numbers(text: str) -> dict[str, int]:
    pairs = [item.partition("=") for item in text.split(",") if item.strip()]
    numbers: dict[str, int] = {}
    for name, _, value in pairs:
        key = name.strip()
        if key not in KEYS:
            raise QuestionError(f"unknown number {key!r} of a model", nearest(key, KEYS))
        numbers[key] = _number(key, value)
    return numbers


def _number(key: str, value: str) -> int:
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not 1 <= number <= MOST:
        raise QuestionError(f"{key}={value.strip()!r} must be a number from 1 to 1e14")
    return round(number)


def filled(given: Mapping[str, int]) -> dict[str, int]:
    """The numbers with what is assumed for the others."""
    if given["layers"] > 512:
        raise QuestionError(f"layers={given['layers']}: llama.cpp takes 512 at most")
    moe = given.get("active", given["params"]) < given["params"]
    kept = {k: v for k, v in DEFAULTS.items() if moe or k != "used"}
    kept = {k: v for k, v in kept.items() if k != "window" or "sliding_layers" in given}
    # sixteen squares of the width a block: attention 4, a gated part of 4 widths 12
    width = sqrt(given.get("active", given["params"]) / given["layers"] / 16)
    hidden = given.get("hidden", max(pad(round(width), 256), 256))
    # as many query heads as fill the width, the same number for every key head
    groups = max(round(hidden / given.get("head_dim", DEFAULTS["head_dim"]) / given["kv_heads"]), 1)
    heads = given.get("heads", groups * given["kv_heads"])
    return {**kept, "hidden": hidden, "heads": heads, "full_layers": given["layers"] - given.get("sliding_layers", 0), **given}


def config(n: Mapping[str, int]) -> dict[str, object]:
    """A config of the Qwen3 kind, whose feed-forward parts hold the parameters that are left over."""
    d, layers = n["hidden"], n["layers"]
    outside = 2 * n["vocab"] * d + layers * 2 * d * n["head_dim"] * (n["heads"] + n["kv_heads"])
    moe: dict[str, int] = {}
    if "used" in n:
        used = n["used"]
        held, count = (n["params"], n["experts"]) if "experts" in n else (n["active"], used)
        ff = _width(held - outside, 3 * d * layers * count)
        experts = n.get("experts") or max(round((n["params"] - outside) / (3 * d * layers * ff)), used)
        moe = {"num_experts": experts, "num_experts_per_tok": min(used, experts), "moe_intermediate_size": ff}
    else:
        ff = _width(n["params"] - outside, 3 * d * layers)
    if n["params"] <= outside:
        raise QuestionError(f"params={n['params']:,} is too few for hidden={d}, vocab={n['vocab']:,} and layers={layers}")
    return {
        "model_type": "qwen3_moe" if moe else "qwen3",
        "num_hidden_layers": n["layers"],
        "hidden_size": d,
        "vocab_size": n["vocab"],
        "max_position_embeddings": n["context"],
        "intermediate_size": ff,
        "num_attention_heads": n["heads"],
        "num_key_value_heads": n["kv_heads"],
        "head_dim": n["head_dim"],
        "tie_word_embeddings": False,
        **moe,
    }


def _width(parameters: int, per_element: int) -> int:
    """Width of a feed-forward part that holds so many parameters, a multiple of a quantiser's block."""
    return max(round(parameters / per_element / 256), 1) * 256


def _layer(i: int, layer: Layer, n: Mapping[str, int]) -> Layer:
    """Full blocks are spread evenly, then windows; the others keep nothing that grows."""
    (attention,) = layer.mixers
    assert isinstance(attention, Attention)
    if _spread(i, n["full_layers"], n["layers"]):
        return layer
    if "sliding_layers" in n and n["full_layers"] + n["sliding_layers"] >= n["layers"]:
        return replace(layer, mixers=(replace(attention, window=n["window"]),))
    return replace(layer, mixers=())


def _spread(i: int, count: int, total: int) -> bool:
    return (i + 1) * count // total > i * count // total


def _unknown_state(n: Mapping[str, int]) -> tuple[str, ...]:
    silent = n["layers"] - n["full_layers"] - n.get("sliding_layers", 0)
    return (f"{silent} layers keep no growing cache; a recurrent state of theirs is not counted.",) if silent > 0 else ()
