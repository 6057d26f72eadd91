"""Which type llama-quantize gives every tensor of a model.

Source: src/llama-quant.cpp of llama.cpp, build 11434. Its order matters in one place alone: some
roles are counted as the tensors are visited, sorted by block and then by name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tonnage.errors import RefusedError
from tonnage.model.types import Tensor
from tonnage.quant import roles
from tonnage.quant.fallback import fitting_type
from tonnage.quant.mixes import MIXES, Case, Mix, choose
from tonnage.quant.recipes import FILE, Recipe
from tonnage.quant.types import block_type

_NEED_IMATRIX = ("iq3_xxs", "iq2_xxs", "iq2_xs", "iq2_s", "iq1_m", "iq1_s")
_FLOATS = ("f32", "f16", "bf16")

_VALUES = {"2026": (roles.ATTN_V, roles.FUSED, roles.KV_B), "2025": (roles.ATTN_V,)}
"""generation of rules -> the roles that get what `attn_v` gets"""

_BLOCKS_OF_70B = {"llama": 80, "llama-embed": 80, "qwen2": 80, "deci": 80, "olmo": 80, "jais2": 68}
"""architecture -> blocks at which the loader calls the model "70B", whatever its size (src/models/*.cpp)"""


class _File(NamedTuple):
    """What all tensors of a file have in common."""

    architecture: str
    recipe: Recipe
    mix: Mix
    n_layer: int
    """all blocks, those of multi-token prediction included"""
    gqa: int
    experts: int
    is_70b: bool
    is_tied: bool
    """the file has no head of its own"""
    n_values: int
    """tensors that are counted as values, quantised or not"""
    values: tuple[str, ...]


def quantise(architecture: str, hparams: Mapping[str, Any], tensors: tuple[Tensor, ...], recipe: Recipe) -> tuple[Tensor, ...]:
    """`tensors` with the types that llama-quantize writes.

    `hparams` are GGUF metadata without the architecture's prefix. UnsupportedError for an uploader's
    mix that is not known; RefusedError where llama-quantize itself gives up.
    """
    if recipe.uploader:
        from tonnage.quant.uploaders import resolve  # plain recipes do not need the table

        recipe = resolve(recipe, architecture)
    if recipe.name == FILE:
        return tensors
    suffixes = [roles.suffix_of(t.name) for t in tensors]
    file = _describe(architecture, hparams, Counter(suffixes), recipe)
    places = _places(file, tensors, suffixes)
    # tensors alike in all that a rule can ask share one answer: a model has some dozens of them, not thousands
    chosen: dict[tuple[str, tuple[int, ...], str, int], str] = {}
    result = []
    for tensor, suffix in zip(tensors, suffixes, strict=True):
        name, shape, stored = tensor
        key = (suffix, shape, stored, places.get(name, 0))
        type_ = chosen.get(key)
        if type_ is None:
            type_ = chosen[key] = _type_of(file, *key)
        result.append(tensor if type_ == stored else Tensor(name, shape, type_))
    return tuple(result)


def needs_imatrix(quantised: Iterable[Tensor], name: str) -> bool:
    """Whether llama-quantize refuses to write these without an importance matrix (tensor_requires_imatrix)."""
    types = {t.type for t in quantised if roles.role_of(roles.suffix_of(t.name)) not in (roles.OUTPUT, roles.EMBEDDING)}
    return not types.isdisjoint(_NEED_IMATRIX) or (name == "Q2_K_S" and "q2_K" in types)


def _describe(architecture: str, hparams: Mapping[str, Any], suffixes: Counter[str], recipe: Recipe) -> _File:
    heads = _first(hparams.get("attention.head_count", 0))
    kv_heads = _first(hparams.get("attention.head_count_kv", heads))
    n_layer = int(hparams["block_count"])
    trunk = n_layer - int(hparams.get("nextn_predict_layers") or 0)
    return _File(
        architecture,
        recipe,
        MIXES[recipe.name],
        n_layer,
        gqa=heads // kv_heads if kv_heads else 0,
        experts=int(hparams.get("expert_count") or 0),
        is_70b=_BLOCKS_OF_70B.get(architecture) == trunk and (not architecture.startswith("llama") or heads != kv_heads),
        is_tied="output.weight" not in suffixes,
        # the older rules count fused tensors too, though they never visit them as values
        n_values=sum(count for suffix, count in suffixes.items() if roles.role_of(suffix) in _VALUES["2026"]),
        values=_VALUES[recipe.rules],
    )


def _first(value: Any) -> int:
    """Of the first block, where a value is given per block."""
    return int(value[0] if isinstance(value, Sequence) else value or 0)


def _places(file: _File, tensors: Iterable[Tensor], suffixes: Iterable[str]) -> dict[str, int]:
    """Name -> place, for the tensors whose type depends on it."""
    counters = {suffix: _counter(file, suffix) for suffix in set(suffixes)}
    counted: dict[str, list[tuple[int, str]]] = {}
    for tensor, suffix in zip(tensors, suffixes, strict=True):
        role = counters[suffix]
        if role and roles.is_matrix(tensor.shape):
            counted.setdefault(role, []).append((-1 if tensor.block is None else tensor.block, tensor.name))
    by_block = file.experts > 1 and not file.mix.low_bits
    places: dict[str, int] = {}
    for role, members in counted.items():
        if by_block and role.startswith("ffn"):
            places |= {name: block for block, name in members}
        else:
            places |= {name: i for i, (_, name) in enumerate(sorted(members))}
    return places


def _counter(file: _File, suffix: str) -> str:
    """The counter that a tensor of this name moves on; empty where no rule of the recipe asks for it."""
    role = roles.role_of(suffix)
    if role in file.values:
        role = roles.ATTN_V
    elif not role.startswith("ffn"):
        return ""
    return role if getattr(file.mix, role) and roles.is_quantised(file.architecture, suffix) and not _asked_for(file, suffix) else ""


def _type_of(file: _File, suffix: str, shape: tuple[int, ...], stored: str, place: int) -> str:
    """The type of one tensor (llama_tensor_get_type)."""
    if not roles.is_matrix(shape) or not roles.is_quantised(file.architecture, suffix):
        return stored
    recipe, role = file.recipe, roles.role_of(suffix)
    override = {roles.EMBEDDING: recipe.embedding_type, roles.OUTPUT: recipe.output_type}.get(role)
    if override:
        return _checked(override, suffix, shape)
    if file.mix.base in _FLOATS:
        return file.mix.base
    wanted = _asked_for(file, suffix) or roles.pinned_type(file.architecture, suffix) or _by_role(file, role, suffix, shape, place)
    return fitting_type(wanted, shape[0], recipe.rules)


def _asked_for(file: _File, suffix: str) -> str:
    """What --tensor-type says of this tensor."""
    return next((asked.type for asked in file.recipe.tensor_types if asked.part in suffix), "")


def _checked(override: str, suffix: str, shape: tuple[int, ...]) -> str:
    """An override as it is: llama-quantize looks for no stand-in there."""
    if shape[0] % block_type(override).elements:
        raise RefusedError(f"{suffix} has rows of {shape[0]} elements, which {override} cannot store: choose another type")
    return override


def _by_role(file: _File, role: str, suffix: str, shape: tuple[int, ...], place: int) -> str:
    """What the recipe says (llama_tensor_get_type_impl)."""
    mix = file.mix
    if role == roles.OUTPUT or (role == roles.EMBEDDING and _is_head(file, suffix)):
        return _head(file, shape)
    if mix.base == "mxfp4":
        return _mxfp4_or_q8(file, role, shape)
    if role == roles.EMBEDDING:
        return mix.embedding or mix.base
    if role in file.values:
        return _value(file, place)
    if role == roles.FUSED:
        return mix.fused_2025 or mix.base
    if role in (roles.OTHER, roles.KV_B):
        return mix.base
    if role == "attn_k" and file.experts == 8 and not mix.low_bits:
        return "q8_0"
    return choose(getattr(mix, role), _case(file, place, file.n_layer), mix.base)


def _case(file: _File, place: int, places: int) -> Case:
    return Case(place, places, file.gqa, file.experts, file.recipe.imatrix, file.architecture == "falcon")


def _is_head(file: _File, suffix: str) -> bool:
    """Whether an embedding is quantised as the head; the older rules left Gemma's second one out."""
    return file.is_tied and (suffix == "token_embd.weight" or file.recipe.rules != "2025")


def _head(file: _File, shape: tuple[int, ...]) -> str:
    if file.recipe.output_type:
        return file.recipe.output_type
    unfit = shape[0] % block_type(file.mix.base).elements != 0
    return "q8_0" if unfit or file.architecture == "falcon" else file.mix.output


def _mxfp4_or_q8(file: _File, role: str, shape: tuple[int, ...]) -> str:
    """Experts as MXFP4, all else as Q8_0; MLA's matrices of three dimensions count as experts, but for Ling 3."""
    is_stack = len(shape) > 2 and shape[2] > 1
    return "mxfp4" if is_stack and (file.architecture != "bailingmoe3" or role.startswith("ffn")) else "q8_0"


def _value(file: _File, place: int) -> str:
    """Values are small and matter much: some models get them raised."""
    type_ = choose(file.mix.attn_v, _case(file, place, file.n_values), file.mix.base)
    if file.mix.low_bits:
        return type_
    if file.experts == 8:
        return "q8_0"
    return "q5_K" if file.is_70b and type_ in ("q3_K", "q4_K") else type_
