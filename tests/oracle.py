"""What llama.cpp itself said, as the tests' data hold it; each file's `about` tells where it comes from."""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tonnage.model.types import Tensor
from tonnage.quant.types import block_type

DATA = Path(__file__).parent / "data"
STORED, Q4_K_M = 2, 3
"""columns of a catalogue entry's tensors: the converter's type, and that of a Q4_K_M file"""


@cache
def load(name: str) -> dict[str, Any]:
    """The models of `name`.json.gz; not to be changed by those who read it."""
    models: dict[str, Any] = json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))["models"]
    return models


def catalogue() -> dict[str, Any]:
    """Hub id -> what llama.cpp's converter, quantiser and loader made of that model."""
    return load("catalog")


def tensors(entry: dict[str, Any], column: int) -> tuple[Tensor, ...]:
    """The tensors of a catalogue entry, one for every block, with the types of `column`."""
    return tuple(tensor for row in entry["tensors"] for tensor in _expand(row, block_type(row[column]).name))


def _expand(row: list[Any], type_: str) -> Iterator[Tensor]:
    name, shape = row[0], tuple(row[1])
    blocks = _blocks(row[4]) if len(row) > 4 else [None]
    return (Tensor(name if block is None else name.format(block), shape, type_) for block in blocks)


def _blocks(ranges: str) -> Iterator[int]:
    """`0-2,7` -> 0, 1, 2, 7."""
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
