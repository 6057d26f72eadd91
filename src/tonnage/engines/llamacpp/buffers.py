"""How ggml's backends round what they allocate."""

from typing import NamedTuple

from tonnage.model.types import Tensor
from tonnage.quant.types import block_type, row_bytes
from tonnage.units import pad

MATRIX_ROW_PADDING = 512


class Alignment(NamedTuple):
    """A backend's alignment, and whether quantised rows are padded to 512 elements.

    Source: ggml-cuda.cu (get_alignment, get_alloc_size), ggml-backend.cpp (CPU) of build 11434.
    """

    nbytes: int
    pads_rows: bool


CPU = Alignment(32, False)
CUDA = Alignment(128, True)


def row_padding(kind: str, row: int) -> int:
    """Bytes that CUDA adds once to a quantised tensor whose rows are no multiple of 512 elements."""
    if block_type(kind).elements == 1 or row % MATRIX_ROW_PADDING == 0:
        return 0
    return row_bytes(kind, MATRIX_ROW_PADDING - row % MATRIX_ROW_PADDING)


def allocated(tensor: Tensor, alignment: Alignment) -> int:
    """Bytes that a tensor takes in a buffer of this backend."""
    more = row_padding(tensor.type, tensor.shape[0]) if alignment.pads_rows else 0
    return pad(tensor.nbytes + more, alignment.nbytes)


def allocated_rows(kind: str, row: int, rows: int, alignment: Alignment) -> int:
    """Bytes of `rows` rows of `row` elements stored as `kind` in a buffer of this backend."""
    more = row_padding(kind, row) if alignment.pads_rows else 0
    return pad(row_bytes(kind, row) * rows + more, alignment.nbytes)
