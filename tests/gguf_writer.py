"""Writes GGUF files from plain values, for tests: sound ones, and parts to make unsound ones of."""

import gzip
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tonnage.model.types import Tensor
from tonnage.quant.types import TYPES
from tonnage.units import pad

KINDS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"), "f32": (6, "f"),
    "bool": (7, "?"), "str": (8, ""), "arr": (9, ""), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d"),
}  # fmt: skip


_HEADERS = Path(__file__).parent / "data" / "gguf-headers"


def real_header(name: str) -> bytes:
    """A header that llama.cpp's own writer made, such as `llama3.1-8b`."""
    plain = _HEADERS / f"{name}.gguf.head"
    if plain.exists():
        return plain.read_bytes()
    return gzip.decompress((_HEADERS / f"{name}.gguf.head.gz").read_bytes())


class Typed(NamedTuple):
    """A value to be written as `kind`; an array of it where the value is a list or tuple."""

    kind: str
    value: Any


def write(metadata: Mapping[str, Any], tensors: Iterable[Tensor] = (), *, version: int = 3, alignment: int = 32, data: bool = False) -> bytes:
    """A GGUF header; with `data` the whole file, its tensors all zero.

    Values without a `Typed` get u32, i32, u64 or i64 (the first that fits), f32, bool or str.
    """
    rows = tuple(tensors)
    pairs = dict(metadata) if alignment == 32 else {**metadata, "general.alignment": alignment}
    table, nbytes = _table(rows, alignment)
    body = b"".join(pair(key, value) for key, value in pairs.items()) + table
    head = preamble(len(rows), len(pairs), version) + body
    if not data:
        return head
    return head + bytes(pad(len(head), alignment) - len(head) + nbytes) if rows else head


def preamble(tensors: int, keys: int, version: int = 3, magic: bytes = b"GGUF") -> bytes:
    """Magic, version and counts."""
    return struct.pack("<4sIQQ", magic, version, tensors, keys)


def file_of(*parts: bytes, tensors: int = 0, keys: int = 0, version: int = 3) -> bytes:
    """A file of `parts` that claims so many tensors and keys."""
    return preamble(tensors, keys, version) + b"".join(parts)


def text(value: str | bytes) -> bytes:
    """A text behind its length."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, value: Any) -> bytes:
    """A metadata key with its value."""
    kind, plain = value if isinstance(value, Typed) else (_kind(value), value)
    if isinstance(plain, (list, tuple)):
        return text(key) + struct.pack("<IIQ", 9, KINDS[kind][0], len(plain)) + _items(kind, plain)
    return text(key) + struct.pack("<I", KINDS[kind][0]) + _items(kind, (plain,))


def row(name: str | bytes, shape: Sequence[int], type_id: int, offset: int) -> bytes:
    """A row of the tensor table."""
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def _table(tensors: tuple[Tensor, ...], alignment: int) -> tuple[bytes, int]:
    rows, offset = [], 0
    for tensor in tensors:
        rows.append(row(tensor.name, tensor.shape, TYPES[tensor.type].id, offset))
        offset += pad(tensor.nbytes, alignment)
    return b"".join(rows), offset


def _items(kind: str, values: Sequence[Any]) -> bytes:
    if kind == "str":
        return b"".join(map(text, values))
    return struct.pack(f"<{len(values)}{KINDS[kind][1]}", *values)


def _kind(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        kinds = {_kind(item) for item in value}
        return kinds.pop() if len(kinds) == 1 else "i64"
    if isinstance(value, int) and not isinstance(value, bool):
        return next(k for k, low, high in _RANGES if low <= value <= high)
    return {bool: "bool", float: "f32", str: "str", bytes: "str"}[type(value)]


_RANGES = (("u32", 0, 2**32 - 1), ("i32", -(2**31), -1), ("u64", 0, 2**64 - 1), ("i64", -(2**63), -1))
