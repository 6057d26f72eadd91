"""The `quantization_config` of a config.json: which format, with which numbers, and what it leaves alone.

Spellings: transformers 5.23 (quantizers), compressed-tensors 0.12, ModelOpt 0.35, mlx-lm 0.32.
"""

import re
from collections.abc import Mapping
from typing import Any

from tonnage.errors import CorruptError, UnsupportedError, nearest
from tonnage.frozen import dataclass, replace

MAX_PATTERN_BYTES = 200
MAX_PATTERN_STARS = 3
"""patterns with more are not tried: a hostile one would take for ever"""


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a checkpoint is quantised. `format` is a name of `formats.FORMATS`."""

    method: str
    """`quant_method`, or mlx"""
    format: str
    bits: int
    group: int = 0
    """inputs that share a scale; 0 where there are no groups, -1 for the whole row"""
    block: tuple[int, int] = (0, 0)
    """outputs and inputs of FP8 blocks"""
    symmetric: bool = True
    double_quant: bool = False
    """bitsandbytes quantises its scales too"""
    input_scale: bool = False
    """a scale for the activations is stored"""
    ignore: tuple[str, ...] = ()
    """modules left alone: names, parts of names, globs with `*`, or regular expressions behind `re:`"""
    fp4_experts: bool = False
    """DeepSeek V4 and later: FP8, but experts in FP4 with a shared exponent per 32"""
    modules: Mapping[str, Any] | None = None
    """MLX: module -> its own bits and group, or False"""

    def leaves_alone(self, module: str) -> bool:
        """Whether `module`, an expert's number written as `*`, is in the list of those not quantised."""
        return any(_matches(pattern, module) for pattern in self.ignore)


def recognise(config: Mapping[str, Any]) -> Scheme | None:
    """The scheme of a config.json; None where the checkpoint is not quantised.

    UnsupportedError for a method that is not known, with the nearest ones.
    """
    found = _section(config)
    if found is None:
        return None
    if _is_mlx(config, found):
        return _mlx(found)
    method = str(found.get("quant_method") or ("modelopt" if "quant_algo" in found else "")).lower().replace("_", "-")
    reader = _READERS.get(method)
    if reader is None:
        raise UnsupportedError(f"unknown quant_method {method!r} in quantization_config", nearest(method, _READERS))
    scheme = reader(found)
    return replace(scheme, fp4_experts=True) if scheme.format == "fp8" and _has_fp4_experts(config, found) else scheme


def _has_fp4_experts(config: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """As `expert_dtype` says; DeepSeek V4's config says it by its model_type alone."""
    return "fp4" in (found.get("expert_dtype"), config.get("expert_dtype")) or config.get("model_type") == "deepseek_v4"


def _section(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part that describes quantisation, of the text model or of the whole."""
    text = config.get("text_config")
    for holder in (config, text if isinstance(text, Mapping) else {}):
        for key in ("quantization", "quantization_config", "compression_config"):
            found = holder.get(key)
            if isinstance(found, Mapping) and found:
                return found
            if found:
                raise CorruptError(f"config.json: {key} must be an object but is {str(found)[:40]!r}")
    return None


def _is_mlx(config: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """mlx-lm writes `quantization`, without a method, and copies it to `quantization_config`."""
    return "quant_method" not in found and "quant_algo" not in found and "bits" in found and "group_size" in found


# --- one reader a method --------------------------------------------------------------------------


def _count(found: Mapping[str, Any], key: str, default: int) -> int:
    value: Any = found.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 65_536:
        raise CorruptError(f"config.json: {key} of the quantisation must be a count but is {str(value)[:40]!r}")
    return int(value)


def _names(found: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    """The lists of modules under `keys`."""
    return tuple(str(name) for key in keys for name in (found.get(key) or ()) if isinstance(found.get(key), list))


def _fp8(found: Mapping[str, Any]) -> Scheme:
    ignore = _names(found, "modules_to_not_convert", "ignored_layers")
    block = found.get("weight_block_size")
    static = found.get("activation_scheme") == "static"
    if block is None:
        return Scheme("fp8", "fp8-tensor", 8, input_scale=static, ignore=ignore)
    if not isinstance(block, list) or len(block) != 2 or not all(type(n) is int and 0 < n <= 65_536 for n in block):
        raise CorruptError(f"config.json: weight_block_size must be two counts but is {str(block)[:40]!r}")
    return Scheme("fp8", "fp8", 8, block=(block[0], block[1]), ignore=ignore)


def _fbgemm(found: Mapping[str, Any]) -> Scheme:
    return Scheme("fbgemm-fp8", "fp8-channel", 8, ignore=_names(found, "modules_to_not_convert"))


def _awq(found: Mapping[str, Any]) -> Scheme:
    bits, group = _count(found, "bits", _count(found, "w_bit", 4)), _count(found, "group_size", _count(found, "q_group_size", 128))
    return Scheme("awq", "awq", bits, group, symmetric=not found.get("zero_point", True), ignore=_names(found, "modules_to_not_convert"))


def _gptq(found: Mapping[str, Any]) -> Scheme:
    """GPTQModel's `dynamic` names modules that are left alone by expressions behind `-:`."""
    dynamic = found.get("dynamic")
    ignore = tuple(f"re:{rule[2:]}" for rule in dynamic if isinstance(rule, str) and rule.startswith("-:")) if isinstance(dynamic, Mapping) else ()
    bits, group = _count(found, "bits", 4), _count(found, "group_size", 128)
    return Scheme("gptq", "gptq", bits, group, symmetric=bool(found.get("sym", True)), ignore=ignore)


def _mxfp4(found: Mapping[str, Any]) -> Scheme:
    return Scheme("mxfp4", "mxfp4", 4, 32, ignore=_names(found, "modules_to_not_convert"))


def _bitsandbytes(found: Mapping[str, Any]) -> Scheme:
    ignore = _names(found, "llm_int8_skip_modules")
    if found.get("load_in_8bit") or found.get("_load_in_8bit"):
        return Scheme("bitsandbytes", "int8", 8, ignore=ignore)
    return Scheme("bitsandbytes", "nf4", 4, 64, double_quant=bool(found.get("bnb_4bit_use_double_quant")), ignore=ignore)


def _modelopt(found: Mapping[str, Any]) -> Scheme:
    algorithm = str(found.get("quant_algo") or "").upper()
    ignore = _names(found, "ignore", "exclude_modules")
    if algorithm in ("NVFP4", "W4A16_NVFP4", "NVFP4_AWQ"):
        return Scheme("modelopt", "nvfp4", 4, 16, input_scale=True, ignore=ignore)
    if algorithm == "FP8":
        return Scheme("modelopt", "fp8-tensor", 8, input_scale=True, ignore=ignore)
    if algorithm == "FP8_PER_CHANNEL_PER_TOKEN":
        return Scheme("modelopt", "fp8-channel", 8, ignore=ignore)
    raise UnsupportedError(f"unknown quant_algo {algorithm!r} of ModelOpt: sizes are known from the files alone", ("NVFP4", "FP8"))


def _compressed_tensors(found: Mapping[str, Any]) -> Scheme:
    weights, ignore = _first_group(found), _names(found, "ignore")
    kind, bits = weights.get("type", "int"), _count(weights, "num_bits", 8)
    group, strategy = _count(weights, "group_size", -1), weights.get("strategy")
    method = "compressed-tensors"
    if kind == "float" and bits == 4:
        return Scheme(method, "mxfp4" if group == 32 else "nvfp4", 4, group, input_scale=True, ignore=ignore)
    if kind == "float" and strategy == "block":
        block = weights.get("block_structure") or [128, 128]
        return _fp8({"weight_block_size": block, "modules_to_not_convert": list(ignore)})
    if kind == "float":
        return Scheme(method, "fp8-channel" if strategy == "channel" else "fp8-tensor", bits, ignore=ignore)
    if bits == 8 and strategy in ("channel", "tensor"):
        return Scheme(method, "w8a8", 8, ignore=ignore)
    return Scheme(method, "w4a16", bits, group, symmetric=bool(weights.get("symmetric", True)), ignore=ignore)


def _first_group(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """How weights are quantised; groups that differ are refused, since which matrix is in which is not told by names alone."""
    groups = found.get("config_groups")
    listed = groups.values() if isinstance(groups, Mapping) else ()
    weights = [g["weights"] for g in listed if isinstance(g, Mapping) and isinstance(g.get("weights"), Mapping)]
    if not weights:
        raise UnsupportedError("compressed-tensors without config_groups that describe weights: sizes are known from the files alone")
    shapes = {(w.get("type"), w.get("num_bits"), w.get("strategy"), w.get("group_size")) for w in weights}
    if len(shapes) > 1:
        raise UnsupportedError("compressed-tensors with several kinds of weights: sizes are known from the files alone")
    first: Mapping[str, Any] = weights[0]
    return first


def _mlx(found: Mapping[str, Any]) -> Scheme:
    bits, group, mode = _count(found, "bits", 4), _count(found, "group_size", 64), str(found.get("mode") or "affine")
    modules = {str(k): v for k, v in found.items() if isinstance(v, (Mapping, bool)) and k not in _MLX_OWN}
    return Scheme("mlx", f"mlx-{bits}bit" if mode == "affine" else f"mlx-{mode}", bits, group, modules=modules)


_MLX_OWN = ("bits", "group_size", "mode", "quant_method")
_READERS = {
    "fp8": _fp8, "fbgemm-fp8": _fbgemm, "awq": _awq, "gptq": _gptq, "mxfp4": _mxfp4, "bitsandbytes": _bitsandbytes,
    "modelopt": _modelopt, "modelopt-fp4": _modelopt, "compressed-tensors": _compressed_tensors,
}  # fmt: skip

# --- lists of modules ------------------------------------------------------------------------------


def _matches(pattern: str, module: str) -> bool:
    """Whether `pattern` names `module`, or a module that holds it."""
    if len(pattern) > MAX_PATTERN_BYTES:
        return False
    if pattern.startswith("re:"):
        return _matches_expression(pattern[3:], module)
    if "*" in pattern:
        return _matches_glob(pattern, module)
    return f".{pattern}." in f".{module}." or module.startswith(pattern + ".")


def _matches_glob(pattern: str, module: str) -> bool:
    """`*` stands for anything, as in `model.layers.*.self_attn`; what is matched may hold `module`."""
    if pattern.count("*") > MAX_PATTERN_STARS:
        return False
    expression = ".*".join(map(re.escape, pattern.split("*")))
    return re.match(rf"{expression}(\.|$)", module) is not None


def _matches_expression(expression: str, module: str) -> bool:
    """Regular expressions without repeated groups; in `module` an expert's `*` reads as 0."""
    repeats = len(re.findall(r"[*+{]", expression))
    if repeats > MAX_PATTERN_STARS or re.search(r"\)[*+{?]", expression):
        return False
    try:
        return re.match(expression, module.replace("*", "0")) is not None
    except (re.error, RecursionError, OverflowError):
        return False
