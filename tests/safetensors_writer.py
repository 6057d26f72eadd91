"""Writes safetensors heads from plain values, for tests; and the names and shapes that a checkpoint of a model has."""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping

from tonnage.model.published import OTHER, Matrix, matrices
from tonnage.model.safetensors import Header, Stored, merge, parse
from tonnage.model.types import Model


def write(tensors: Iterable[Stored], metadata: Mapping[str, str] | None = None, *, data: bool = False) -> bytes:
    """A head as the format's own writer makes it; with `data` the whole file, its tensors all zero."""
    table: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.nbytes
        table[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    return head(json.dumps(table, separators=(",", ":"))) + bytes(end if data else 0)


def head(text: str | bytes, *, length: int | None = None) -> bytes:
    """Any text behind its length, padded with blanks to a multiple of eight."""
    raw = text.encode() if isinstance(text, str) else text
    raw += b" " * (-len(raw) % 8) if length is None else b""
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def entry(begin: int = 0, end: int = 2, *, dtype: str = "BF16", shape: str = "[1]") -> str:
    """The description of a tensor."""
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'


def checkpoint(model: Model, shards: int = 2, *, stacked: bool = False) -> Header:
    """Headers, read back and merged, of the checkpoint that `model` comes from: every matrix and the rest in BF16.

    `stacked` writes experts as one array, as newer checkpoints do.
    """
    table = matrices(model)
    rows = [row for matrix in table for row in _rows(matrix, stacked)]
    rows += [Stored("visual.all", "BF16", (model.parameters.vision,))] if model.parameters.vision else []
    left_out = model.parameters.total - model.parameters.vision - sum(matrix.elements for matrix in table)
    rows += [Stored("mtp.layers.0.all", "BF16", (left_out,))] if left_out > 0 else []
    size = -(-len(rows) // shards)
    parts = [rows[at : at + size] for at in range(0, len(rows), size)]
    return merge(parse(write(part, {"format": "pt"})) for part in parts)


def _rows(matrix: Matrix, stacked: bool) -> Iterator[Stored]:
    ending = "" if matrix.role == OTHER else ".weight"
    dtype = "F32" if matrix.float32 else "BF16"
    if matrix.role == OTHER:
        yield Stored(f"{matrix.module}{ending}", dtype, (matrix.elements,))
    elif stacked and matrix.copies > 1:
        yield Stored(matrix.module.replace("*.", "") + ending, dtype, (matrix.copies, matrix.n_out, matrix.n_in))
    else:
        yield from (Stored(matrix.module.replace("*", str(i)) + ending, dtype, (matrix.n_out, matrix.n_in)) for i in range(matrix.copies))
