"""Mixes that uploaders publish: under names of their own, or under a plain recipe's name.

Every row says how well it is known. `exact`: what the uploader says, or plain llama-quantize, and sizes of
published files agree. `inferred`: solved from the published sizes, to the byte. `unknown`: known
not to be the plain recipe, and no more. Sizes were compared in 2026; names do not fix contents for
ever, so a file's own header is always the better source.
"""

from collections.abc import Iterable
from typing import NamedTuple

from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import replace
from tonnage.quant.mixes import ALIASES, MIXES
from tonnage.quant.recipes import Recipe, TypeFor

PLAIN: tuple[str, ...] = tuple(name for name in MIXES if name not in ("F32", "F16", "BF16"))


class Published(NamedTuple):
    """What one uploader publishes under some names, for some architectures."""

    uploader: str
    names: tuple[str, ...]
    architectures: tuple[str, ...]
    """GGUF's general.architecture; empty for every one"""
    status: str
    """exact, inferred or unknown"""
    why: str
    """what it rests on, or what is known not to fit"""
    base: str = ""
    """llama-quantize's recipe beneath; empty for the one of the same name"""
    rules: str = ""
    """generation of rules that the files were made with; empty where it makes no difference"""
    imatrix: bool = False
    output_type: str = ""
    embedding_type: str = ""
    tensor_types: tuple[TypeFor, ...] = ()


_COMPARED = "sizes of published files, 2024 to 2026"
_BARTOWSKI_PLAIN = ("llama", "qwen2", "qwen3", "mistral3", "gemma2")
_BARTOWSKI_OWN = (("Q2_K_L", "Q2_K"), ("Q3_K_XL", "Q3_K_L"), ("Q4_K_L", "Q4_K_M"), ("Q5_K_L", "Q5_K_M"), ("Q6_K_L", "Q6_K"))
_I1 = tuple("i1-" + name for name in PLAIN)
_QWEN35 = ("qwen35", "qwen35moe")
_UNSLOTH_PLAIN = ("llama", "mistral3", "qwen3", "qwen3moe")

PUBLISHED = (
    *(
        Published(
            "bartowski", (name,), _BARTOWSKI_PLAIN, "exact", "embedding and head at Q8_0: 93 of 99 files",
            base=base, imatrix=True, output_type="q8_0", embedding_type="q8_0",
        )
        for name, base in _BARTOWSKI_OWN
    ),
    Published("bartowski", PLAIN, _BARTOWSKI_PLAIN, "exact", _COMPARED, imatrix=True),
    Published(
        "bartowski", (*(name for name, _ in _BARTOWSKI_OWN), *PLAIN), (), "unknown",
        "MoE models, gpt-oss and Qwen3.5 are known to deviate from llama-quantize's types by up to 9.4 %",
    ),
    Published("mradermacher", _I1, _QWEN35, "exact", "Qwen3.5-122B, each recipe within rounding", rules="2025", imatrix=True),
    Published("mradermacher", PLAIN, _QWEN35, "exact", "Qwen3.5-122B, each recipe within rounding", rules="2025"),
    Published("mradermacher", _I1, (), "exact", "1,457 of 1,479 files, rounded to 0.1 GiB", imatrix=True),
    Published("mradermacher", PLAIN, (), "exact", "1,457 of 1,479 files, rounded to 0.1 GiB"),
    Published("Qwen", PLAIN, ("qwen2", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe"), "exact", _COMPARED),
    Published("mistralai", PLAIN, ("mistral3",), "exact", _COMPARED),
    Published(
        "ggml-org", ("Q4_0",), ("gemma3",), "inferred", "the QAT files of Gemma 3, to the byte; those of 4B, 12B and 27B hold 262,208 rows",
        embedding_type="q8_0",
    ),
    Published(
        "ggml-org", ("Q4_K", "Q4_K_M"), ("deepseek2",), "inferred", "GLM-4.7-Flash alone, to the byte",
        base="Q4_K_M", output_type="q8_0", tensor_types=(TypeFor("attn_k_b", "q8_0"),),
    ),
    Published(
        "ggml-org", ("Q8_0",), ("mistral3",), "unknown",
        "Ministral 3 3B and 8B are 7 % bigger than a plain Q8_0, 14B and Devstral are plain",
    ),
    Published("ggml-org", ("Q8_0", "Q4_K_M", "MXFP4_MOE"), (), "exact", _COMPARED),
    Published(
        "unsloth", ("Q4_K_M",), ("qwen35",), "inferred", "Qwen3.5 0.8B, 2B, 4B, 9B and 27B, to the byte; not Qwen3.6",
        rules="2025", imatrix=True, tensor_types=(TypeFor("ssm_alpha", "q8_0"), TypeFor("ssm_beta", "q8_0"), TypeFor("ssm_out", "q5_K")),
    ),
    Published(
        "unsloth", ("Q4_K_M",), ("qwen35moe",), "inferred", "the one mix that fits Qwen3.5 35B, 122B and 397B, to the byte",
        base="Q8_0", imatrix=True, output_type="q6_K",
        tensor_types=(TypeFor("ffn_down_exps", "q5_K"), TypeFor("ffn_gate_exps", "q4_K"), TypeFor("ffn_up_exps", "q4_K")),
    ),
    Published("unsloth", ("Q8_0",), _QWEN35, "exact", "all eight Qwen3.5 files, to the byte"),
    Published("unsloth", PLAIN, _QWEN35, "unknown", "only Q4_K_M and Q8_0 are known for Qwen3.5"),
    Published("unsloth", ("Q2_K_L",), _UNSLOTH_PLAIN, "exact", "unsloth's own notes: head at Q8_0", base="Q2_K", imatrix=True, output_type="q8_0"),
    Published("unsloth", PLAIN, _UNSLOTH_PLAIN, "exact", _COMPARED, imatrix=True),
    Published("unsloth", PLAIN, (), "unknown", "314 of 370 files are plain recipes, and which are not is not known"),
)  # fmt: skip
"""the first row that fits counts"""


def canonical(uploader: str, name: str) -> tuple[str, str]:
    """Both as the table writes them; UnsupportedError with the nearest names where it has no such row."""
    if name.upper().startswith("UD-"):
        raise UnsupportedError(f"the tensor types of {uploader}/{name} are not published and change over time: give the GGUF file itself")
    names = {n.lower(): (row.uploader, n) for row in PUBLISHED if row.uploader.lower() == uploader.lower() for n in row.names}
    if not names:
        raise UnsupportedError(f"no mixes of an uploader {uploader!r} are known", nearest(uploader, {row.uploader for row in PUBLISHED}))
    found = names.get(name.lower()) or names.get(ALIASES.get(name.upper(), "").lower())
    if found is None:
        near = nearest(name, [n for _, n in names.values()])
        raise UnsupportedError(f"{uploader} is not known to publish {name!r}", [f"{uploader}/{n}" for n in near])
    return found


def publishers_of(name: str) -> tuple[str, ...]:
    """Uploaders that publish something called `name`."""
    return tuple(dict.fromkeys(row.uploader for row in PUBLISHED if name.upper() in row.names))


def full_names() -> Iterable[str]:
    """Every name that `parse` takes for a mix of an uploader."""
    return dict.fromkeys(f"{row.uploader}/{name}" for row in PUBLISHED for name in row.names)


def find(recipe: Recipe, architecture: str) -> Published:
    """The row for this uploader, name and architecture; UnsupportedError where its content is not known."""
    for row in PUBLISHED:
        if row.uploader == recipe.uploader and recipe.name in row.names and (not row.architectures or architecture in row.architectures):
            if row.status == "unknown":
                raise UnsupportedError(f"what {recipe.full_name} holds for {architecture} is not known ({row.why}): give the GGUF file itself")
            return row
    raise UnsupportedError(f"what {recipe.full_name} holds for {architecture} is not known: give the GGUF file itself")


def resolve(recipe: Recipe, architecture: str) -> Recipe:
    """The llama-quantize run that makes this uploader's file; what the question asked for on top is kept."""
    row = find(recipe, architecture)
    return replace(
        recipe,
        name=row.base or _plain(recipe.name),
        rules=row.rules or recipe.rules,
        imatrix=row.imatrix or recipe.imatrix,
        output_type=recipe.output_type or row.output_type,
        embedding_type=recipe.embedding_type or row.embedding_type,
        tensor_types=row.tensor_types + recipe.tensor_types,
        uploader="",
    )


def _plain(name: str) -> str:
    """llama-quantize's name; mradermacher marks files made with an imatrix by `i1-`."""
    plain = name.removeprefix("i1-")
    return ALIASES.get(plain, plain)
