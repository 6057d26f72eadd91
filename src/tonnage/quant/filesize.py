"""How large a GGUF is: metadata, tensor table, tensor data.

Source: ggml's docs/gguf.md; checked against published files to some thousand bytes, which is what chat
templates and names differ by.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tonnage.model.tokenizers import of_model
from tonnage.model.types import Tensor
from tonnage.units import pad

ALIGNMENT = 32
"""general.alignment of every file that llama.cpp writes: each tensor and the data section begin at a multiple"""
METADATA_DOUBT = 16_000
"""bytes by which the metadata of two files with one tokenizer may differ: the farthest of the published ones is 7,000 off"""


class FileSize(NamedTuple):
    """Bytes of a predicted file, and how far the truth may lie to either side."""

    bytes: int
    doubt: int


def predict(architecture: str, tensors: Sequence[Tensor]) -> FileSize | None:
    """The size of one unsplit file with these tensors; None where the tokenizer's share is not known."""
    rows = next((t.shape[1] for t in tensors if t.name == "token_embd.weight"), 0)
    vocabulary = of_model(architecture, rows)
    if vocabulary is None:
        return None
    header = pad(vocabulary.kv_bytes + table_bytes(tensors), ALIGNMENT)
    return FileSize(header + data_bytes(tensors), METADATA_DOUBT)


def table_bytes(tensors: Sequence[Tensor]) -> int:
    """The tensor table: length of the name, name, count of dimensions, dimensions, type and offset of each."""
    return sum(8 + len(t.name) + 4 + 8 * len(t.shape) + 4 + 8 for t in tensors)


def data_bytes(tensors: Sequence[Tensor]) -> int:
    """The data section: every tensor padded."""
    return sum(pad(t.nbytes, ALIGNMENT) for t in tensors)
