"""The name of a recipe, with all that changes what llama-quantize makes of it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tonnage.errors import UnsupportedError, nearest
from tonnage.frozen import dataclass
from tonnage.quant.mixes import ALIASES, MIXES
from tonnage.quant.types import block_type

FILE = "file"
"""the recipe that leaves every tensor as it is stored; llama-quantize calls it COPY"""

NAMES = (*MIXES, FILE)
"""every recipe, under its one name"""

USUAL = "Q4_K_M"
"""what `llama-server -hf REPO` takes when no quant is named (common/download.cpp)"""
NATIVE = {"mxfp4": "MXFP4_MOE"}
"""type of a checkpoint's own experts -> the recipe that leaves them as they are: others store them larger and worse (gpt-oss)"""

GENERATIONS = ("2026", "2025")
"""of llama-quantize's rules, newest first: 2026 is build 11434; 2025 treats `attn_qkv` and `attn_kv_b` apart"""

_BY_KEY = {name.upper(): name for name in NAMES} | ALIASES | {"COPY": FILE}


class TypeFor(NamedTuple):
    """llama-quantize's --tensor-type: tensors with `part` in their name, its block left out, get `type`."""

    part: str
    type: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a file is quantised. Make one with `parse`, which checks the names."""

    name: str
    """a name of NAMES, or one that `uploader` has given to a mix of its own"""
    rules: str = GENERATIONS[0]
    imatrix: bool = False
    output_type: str = ""
    """type of the head, against the recipe; empty for the recipe's own"""
    embedding_type: str = ""
    """type of the embedding, against the recipe"""
    tensor_types: tuple[TypeFor, ...] = ()
    uploader: str = ""
    """whose files these are, where they are not llama-quantize's plain ones"""

    @property
    def full_name(self) -> str:
        """The name under which `parse` finds it again."""
        return f"{self.uploader}/{self.name}" if self.uploader else self.name


def usual(types: Iterable[str]) -> str:
    """The recipe that tensors of these types come in where none is named: their own, or llama.cpp's usual one."""
    own = set(types)
    return next((recipe for kind, recipe in NATIVE.items() if kind in own), USUAL)


def ladder(types: Iterable[str], names: Sequence[str]) -> Sequence[str]:
    """Of `names` those worth proposing: of a checkpoint that is small already its own recipe alone, since others are larger and worse."""
    own = usual(types)
    return (own,) if own in NATIVE.values() else names


def parse(
    text: str, *, rules: str = GENERATIONS[0], imatrix: bool = False, output_type: str | None = None, embedding_type: str | None = None
) -> Recipe:
    """The recipe called `text`, in any case: `Q4_K_M`, `file`, or `uploader/NAME` as in `bartowski/Q4_K_L`.

    UnsupportedError, with the nearest names, for what is not known.
    """
    if rules not in GENERATIONS:
        raise UnsupportedError(f"unknown generation of rules {rules!r}; known are {' and '.join(GENERATIONS)}")
    uploader, name = _split(text.strip())
    output, embedding = (block_type(t).name if t else "" for t in (output_type, embedding_type))
    return Recipe(name, rules, imatrix, output, embedding, uploader=uploader)


def _split(text: str) -> tuple[str, str]:
    """(uploader, name), both as they are written in the tables; the uploader is empty for plain recipes."""
    known = _BY_KEY.get(text.upper())
    if known:
        return "", known
    from tonnage.quant import uploaders  # only names that are no plain recipe need the table

    if "/" in text:
        return uploaders.canonical(*text.split("/", 1))
    raise _unknown(text, uploaders.publishers_of(text), uploaders.full_names())


def _unknown(text: str, publishers: Iterable[str], full_names: Iterable[str]) -> UnsupportedError:
    if text.upper().startswith("UD-"):
        return UnsupportedError(f"the tensor types of {text!r} are unsloth's own and change over time: give the GGUF file itself")
    same = tuple(f"{publisher}/{text.upper()}" for publisher in publishers)
    if same:
        return UnsupportedError(f"llama-quantize has no recipe {text!r}: name the uploader whose mix is meant", same)
    from tonnage.quant import formats

    refused = formats.refusal(text, "llama.cpp")
    return refused or UnsupportedError(f"unknown recipe {text!r}", nearest(text, (*NAMES, *ALIASES, *full_names)))
