"""What becomes of a tensor whose rows are no multiple of its type's block.

Source: src/llama-quant.cpp of llama.cpp, build 11434 (tensor_type_fallback), and the same file of 2025.
"""

from tonnage.errors import RefusedError
from tonnage.quant.types import block_type

_IQ = dict.fromkeys(("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_xs"), "iq4_nl")
_K = {"q4_K": "q5_0", "q5_K": "q5_1", "q6_K": "q8_0"}
_TERNARY = dict.fromkeys(("tq1_0", "tq2_0"), "q4_0")

_FALLBACKS = {
    "2026": {**_IQ, **_K, **_TERNARY, **dict.fromkeys(("q2_0", "q2_K", "q3_K"), "q4_0")},
    "2025": {**_IQ, **_K, **_TERNARY, **dict.fromkeys(("q2_K", "q3_K"), "iq4_nl")},
}
"""generation of rules -> type -> the type of smaller blocks that stands in for it"""


def fitting_type(wanted: str, row: int, rules: str) -> str:
    """`wanted`, its stand-in, or f16, whichever can store a row of `row` elements.

    RefusedError where llama-quantize knows no stand-in.
    """
    if _fits(wanted, row):
        return wanted
    stand_in = _FALLBACKS[rules].get(wanted)
    if stand_in is None and (block_type(wanted).elements > 32 or rules == "2025"):
        raise RefusedError(f"llama-quantize has nothing to fall back to where a row of {row} elements cannot be stored as {wanted}")
    return stand_in if stand_in and _fits(stand_in, row) else "f16"


def _fits(type_: str, row: int) -> bool:
    return row % block_type(type_).elements == 0
