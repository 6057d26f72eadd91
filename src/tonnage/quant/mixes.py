"""llama-quantize's recipes as rows: which type each role of a tensor gets.

Source: src/llama-quant.cpp of llama.cpp, build 11434 (llama_tensor_get_type_impl,
llama_ftype_get_default_type), and the same file of 2025 where `fused_2025` is concerned.
"""

from collections.abc import Callable
from typing import NamedTuple


class Case(NamedTuple):
    """What a rule may ask of one tensor and of the model that it belongs to."""

    i: int
    """place of the tensor: its block, or how many of its role were visited before it"""
    n: int
    """places that there are"""
    gqa: int
    """query heads per KV head of the first block; 0 where that block has no KV heads"""
    experts: int
    imatrix: bool
    falcon: bool


Condition = Callable[[Case], bool]
Rule = tuple[tuple[Condition, str], ...]
"""the first row whose condition holds says the type; where none does, it is the recipe's base"""

BASE = ""
"""as a type in a rule: the recipe's base type"""


class Mix(NamedTuple):
    """One recipe: a base type, and the roles that get another."""

    base: str
    output: str = "q6_K"
    """type of the head, and of the embedding where that serves as head"""
    embedding: str = BASE
    """type of an embedding that is not the head"""
    attn_v: Rule = ()
    attn_k: Rule = ()
    attn_q: Rule = ()
    attn_output: Rule = ()
    ffn_down: Rule = ()
    ffn_up: Rule = ()
    ffn_gate: Rule = ()
    fused_2025: str = BASE
    """what `attn_qkv` got before it was treated like `attn_v`"""
    low_bits: bool = False
    """IQ1 and IQ2: `ffn_down` is counted by visits even with experts, and nothing is raised for eight experts or "70B\""""


# --- conditions ---------------------------------------------------------------------------------


def _always(case: Case) -> bool:
    return True


def _falcon(case: Case) -> bool:
    return case.falcon


def _grouped(case: Case) -> bool:
    return case.gqa >= 4


def _grouped_or_experts(case: Case) -> bool:
    return case.gqa >= 4 or case.experts >= 4


def _eight_experts(case: Case) -> bool:
    return case.experts == 8


def _imatrix(case: Case) -> bool:
    return case.imatrix


def _first_8th(case: Case) -> bool:
    return case.i < case.n // 8


def _first_16th(case: Case) -> bool:
    return case.i < case.n // 16


def _first_2(case: Case) -> bool:
    return case.i < 2


def _first_4(case: Case) -> bool:
    return case.i < 4


def _middle(case: Case) -> bool:
    return case.n // 8 <= case.i < 7 * case.n // 8


def _more_bits(case: Case) -> bool:
    """The first and the last eighth, and every third between (use_more_bits)."""
    return case.i < case.n // 8 or case.i >= 7 * case.n // 8 or (case.i - case.n // 8) % 3 == 2


def _both(one: Condition, other: Condition) -> Condition:
    return lambda case: one(case) and other(case)


def _without(condition: Condition) -> Condition:
    return lambda case: not condition(case)


# --- rules that several recipes share -----------------------------------------------------------


def _attn_output(eight_experts: str, otherwise: str = BASE) -> Rule:
    return (_falcon, BASE), (_eight_experts, eight_experts), (_always, otherwise)


def _all(type_: str) -> Rule:
    return ((_always, type_),)


def _if_grouped(type_: str) -> Rule:
    return ((_grouped, type_),)


_MORE_BITS_Q6: Rule = ((_more_bits, "q6_K"),)
_Q5_START: Rule = ((_both(_first_8th, _without(_imatrix)), "q5_K"),)


def _low_bits(base: str, better: str, attn_output: str = BASE, embedding: str = "q2_K") -> Mix:
    """A recipe of IQ1 or IQ2; values and the first blocks' `ffn_down` are of the `better` type."""
    return Mix(
        base,
        output="q5_K",
        embedding=embedding,
        attn_v=((_grouped_or_experts, "q4_K"), (_always, better)),
        attn_k=((_eight_experts, "q4_K"),),
        attn_output=((_eight_experts, "q5_K"), (_always, attn_output)),
        ffn_down=((_first_8th, better),),
        low_bits=True,
    )


def _legacy(base: str, guarded: str = BASE) -> Mix:
    """A recipe of the first generation; with an imatrix the first `ffn_down` are `guarded`."""
    return Mix(base, ffn_down=((_both(_imatrix, _first_8th), guarded),) if guarded else ())


_Q5K_WITH_8 = _attn_output("q5_K")

MIXES = {
    "F32": Mix("f32"),
    "F16": Mix("f16"),
    "BF16": Mix("bf16"),
    "Q8_0": Mix("q8_0", output="q8_0"),
    "Q6_K": Mix("q6_K"),
    "Q5_K_M": Mix("q5_K", attn_v=_MORE_BITS_Q6, ffn_down=_MORE_BITS_Q6, fused_2025="q6_K"),
    "Q5_K_S": Mix("q5_K"),
    "Q5_1": _legacy("q5_1"),
    "Q5_0": _legacy("q5_0", guarded="q5_1"),
    "Q4_K_M": Mix(
        "q4_K",
        attn_v=_MORE_BITS_Q6,
        attn_output=_Q5K_WITH_8,
        ffn_down=(
            (_both(_falcon, _first_16th), "q6_K"),
            (_both(_falcon, _more_bits), "q5_K"),
            (_falcon, BASE),
            (_more_bits, "q6_K"),
        ),
        fused_2025="q5_K",
    ),
    "Q4_K_S": Mix(
        "q4_K",
        attn_v=((_first_4, "q5_K"),),
        attn_output=_Q5K_WITH_8,
        ffn_down=((_both(_first_8th, _without(_falcon)), "q5_K"),),
    ),
    "Q4_1": _legacy("q4_1"),
    "Q4_0": _legacy("q4_0", guarded="q4_1"),
    "IQ4_NL": Mix("iq4_nl", attn_v=_if_grouped("q5_K"), attn_output=_Q5K_WITH_8, ffn_down=_Q5_START),
    "IQ4_XS": Mix("iq4_xs", attn_v=_if_grouped("q5_K"), attn_output=_Q5K_WITH_8, ffn_down=_Q5_START),
    "MXFP4_MOE": Mix("mxfp4", output="q8_0"),
    "Q3_K_L": Mix(
        "q3_K",
        attn_v=_all("q5_K"),
        attn_output=((_falcon, "q4_K"), (_eight_experts, BASE), (_always, "q5_K")),
        ffn_down=((_falcon, "q4_K"), (_always, "q5_K")),
        fused_2025="q4_K",
    ),
    "Q3_K_M": Mix(
        "q3_K",
        attn_v=((_first_2, "q5_K"), (_always, "q4_K")),
        attn_output=_attn_output("q5_K", "q4_K"),
        ffn_down=((_first_16th, "q5_K"), (_both(_falcon, _without(_more_bits)), BASE), (_always, "q4_K")),
        fused_2025="q4_K",
    ),
    "Q3_K_S": Mix("q3_K", attn_output=_Q5K_WITH_8),
    "IQ3_M": Mix(
        "iq3_s",
        attn_v=_all("q4_K"),
        attn_output=_attn_output("q5_K", "q4_K"),
        ffn_down=((_first_8th, "q4_K"), (_both(_eight_experts, _more_bits), "q4_K")),
        fused_2025="q4_K",
    ),
    "IQ3_S": Mix("iq3_s", attn_v=_if_grouped("q4_K"), attn_output=_Q5K_WITH_8),
    "IQ3_XS": Mix(
        "iq3_s",
        attn_v=_if_grouped("q4_K"),
        attn_k=_all("iq3_xxs"),
        attn_q=_all("iq3_xxs"),
        attn_output=_Q5K_WITH_8,
        ffn_up=((_middle, "iq3_xxs"),),
        ffn_gate=((_middle, "iq3_xxs"),),
    ),
    "IQ3_XXS": Mix(
        "iq3_xxs",
        output="q5_K",
        embedding="iq3_s",
        attn_v=((_grouped, "q4_K"), (_imatrix, BASE), (_always, "iq3_s")),
        attn_k=_all("iq2_s"),
        attn_q=_all("iq2_s"),
        attn_output=_attn_output("q5_K", "iq3_s"),
        ffn_down=((_imatrix, BASE), (_first_8th, "q4_K"), (_always, "q3_K")),
    ),
    "Q2_K": Mix(
        "q2_K",
        attn_v=((_grouped, "q4_K"), (_always, "q3_K")),
        attn_output=_attn_output("q5_K", "q3_K"),
        ffn_down=_all("q3_K"),
    ),
    "Q2_K_S": Mix("q2_K", attn_v=_if_grouped("q4_K"), ffn_down=((_first_8th, "q4_K"),)),
    "Q2_0": Mix("q2_0", embedding="q4_K"),
    "TQ2_0": Mix("tq2_0", embedding="q4_K"),
    "TQ1_0": Mix("tq1_0", embedding="q4_K"),
    "IQ2_M": _low_bits("iq2_s", "iq3_s", attn_output="iq3_s", embedding="iq3_s"),
    "IQ2_S": _low_bits("iq2_xs", "iq3_s", attn_output="iq3_s", embedding="iq3_s"),
    "IQ2_XS": _low_bits("iq2_xs", "q2_K"),
    "IQ2_XXS": _low_bits("iq2_xxs", "q2_K"),
    "IQ1_M": _low_bits("iq1_m", "q2_K", attn_output="iq2_xxs"),
    "IQ1_S": _low_bits("iq1_s", "q2_K", attn_output="iq2_xxs"),
    "Q1_0": Mix("q1_0"),
}
"""the recipes that llama-quantize offers, from many bits to few within a kind"""

ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""names that llama-quantize takes for another recipe"""


def choose(rule: Rule, case: Case, base: str) -> str:
    """The type that `rule` gives."""
    for condition, type_ in rule:
        if condition(case):
            return type_ or base
    return base
