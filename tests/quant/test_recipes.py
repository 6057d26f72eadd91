"""Names of recipes."""

import pytest

from tonnage.errors import UnsupportedError
from tonnage.quant.recipes import NAMES, Recipe, parse


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Q4_K_M", "Q4_K_M"),
        ("q4_k_m", "Q4_K_M"),
        (" iq2_xxs ", "IQ2_XXS"),
        ("Q3_K", "Q3_K_M"),
        ("q4_k", "Q4_K_M"),
        ("Q5_K", "Q5_K_M"),
        ("file", "file"),
        ("COPY", "file"),
        ("bf16", "BF16"),
    ],
)
def test_names_are_found_in_any_case(text: str, name: str) -> None:
    """llama-quantize's own names and aliases."""
    assert Recipe(name) == parse(text)


def test_all_recipes_of_llama_quantize_are_known() -> None:
    """35 recipes, aliases left out, and the file as it is."""
    old = {"F32", "F16", "BF16", "Q1_0", "Q2_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4_MOE", "TQ1_0", "TQ2_0"}
    k = {"Q2_K", "Q2_K_S", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"}
    iq = {f"IQ{kind}" for kind in ("1_S", "1_M", "2_XXS", "2_XS", "2_S", "2_M", "3_XXS", "3_XS", "3_S", "3_M", "4_NL", "4_XS")}

    assert old | k | iq | {"file"} == set(NAMES)
    assert len(NAMES) == 35 + 1


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("Q4_K_X", "Q4_K_S"),
        ("IQ4XS", "IQ4_XS"),
        ("Q4_K_L", "bartowski/Q4_K_L"),
        ("Q2_K_L", "unsloth/Q2_K_L"),
        ("bartowsky/Q4_K_L", "bartowski"),
        ("bartowski/Q4_K_XXL", "bartowski/Q4_K_L"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(text: str, nearest: str) -> None:
    """A slip of the pen, and names that only an uploader uses."""
    with pytest.raises(UnsupportedError) as refused:
        parse(text)

    assert nearest in refused.value.nearest


@pytest.mark.parametrize("text", ["UD-Q4_K_XL", "unsloth/UD-Q4_K_XL"])
def test_mixes_that_change_over_time_are_refused(text: str) -> None:
    """What unsloth calls UD-* has no published rule: only the file can tell."""
    with pytest.raises(UnsupportedError, match="give the GGUF file itself"):
        parse(text)


def test_types_and_generations_are_checked() -> None:
    """An override names a tensor type, and a generation is one of two."""
    with pytest.raises(UnsupportedError, match="unknown tensor type 'q9_0'"):
        parse("Q4_K_M", output_type="q9_0")
    with pytest.raises(UnsupportedError, match="2026 and 2025"):
        parse("Q4_K_M", rules="2024")


@pytest.mark.parametrize("text", ["Q4_K_M", "bartowski/Q4_K_L", "mradermacher/i1-IQ2_M"])
def test_full_name_leads_back(text: str) -> None:
    """`full_name` is what `parse` takes."""
    assert text == parse(text.lower()).full_name
