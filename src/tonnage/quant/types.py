"""Block table of ggml's tensor types: how many elements share how many bytes.

Source: ggml's type traits, gguf-py `constants.py` (llama.cpp build 11434).
"""

from typing import NamedTuple

from tonnage.errors import UnsupportedError, nearest


class BlockType(NamedTuple):
    """A ggml tensor type: `elements` of one row are stored in `nbytes` bytes."""

    name: str
    id: int
    elements: int
    nbytes: int


_ROWS = (
    ("f32", 0, 1, 4), ("f16", 1, 1, 2), ("q4_0", 2, 32, 18), ("q4_1", 3, 32, 20), ("q5_0", 6, 32, 22),
    ("q5_1", 7, 32, 24), ("q8_0", 8, 32, 34), ("q8_1", 9, 32, 36), ("q2_K", 10, 256, 84), ("q3_K", 11, 256, 110),
    ("q4_K", 12, 256, 144), ("q5_K", 13, 256, 176), ("q6_K", 14, 256, 210), ("q8_K", 15, 256, 292),
    ("iq2_xxs", 16, 256, 66), ("iq2_xs", 17, 256, 74), ("iq3_xxs", 18, 256, 98), ("iq1_s", 19, 256, 50),
    ("iq4_nl", 20, 32, 18), ("iq3_s", 21, 256, 110), ("iq2_s", 22, 256, 82), ("iq4_xs", 23, 256, 136),
    ("i8", 24, 1, 1), ("i16", 25, 1, 2), ("i32", 26, 1, 4), ("i64", 27, 1, 8), ("f64", 28, 1, 8),
    ("iq1_m", 29, 256, 56), ("bf16", 30, 1, 2), ("tq1_0", 34, 256, 54), ("tq2_0", 35, 256, 66),
    ("mxfp4", 39, 32, 17), ("nvfp4", 40, 64, 36), ("q1_0", 41, 128, 18), ("q2_0", 42, 64, 18),
)  # fmt: skip
TYPES = {row[0]: BlockType(*row) for row in _ROWS}
BY_ID = {t.id: t for t in TYPES.values()}
_BY_LOWER = {name.lower(): t for name, t in TYPES.items()}


def block_type(name: str) -> BlockType:
    """The type called `name`, in any case; UnsupportedError with the nearest names otherwise."""
    found = TYPES.get(name) or _BY_LOWER.get(name.lower())
    if found is None:
        raise UnsupportedError(f"unknown tensor type {name!r}", nearest(name, TYPES))
    return found


def row_bytes(name: str, elements: int) -> int:
    """Bytes of a row of `elements` stored as `name` (ggml_row_size)."""
    t = block_type(name)
    return elements // t.elements * t.nbytes
