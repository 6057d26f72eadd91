"""Questions turned round: the most that fits is found, and the next step does not fit."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
from tonnage.errors import NoFitError, QuestionError, UnsupportedError
from tonnage.estimation import judged
from tonnage.model import catalogue
from tonnage.question import from_dict
from tonnage.solve import best_quant, largest, max_context, max_users

CASES = [
    ("llama3.1-8b", {"device": ["8GB"]}),
    ("llama3.1-8b", {"device": ["24GB"], "cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
    ("gemma3-27b", {"device": ["2x 12GB"]}),
    ("qwen3-30b-a3b", {"device": ["24GB", "8GB"], "users": 3}),
    ("gpt-oss-20b", {"device": ["16GB"], "margin": 0}),
    ("deepseek-v3", {"device": ["24GB"], "cpu_moe": True}),
    ("qwen3.5-122b-a10b", {"device": ["cuda:79000MiB-free"], "slots": 1}),
]


def word(model: str, **given: Any) -> str:
    """The verdict of a question."""
    verdict = judged(from_dict({"model": model, **given}), llama_cases.model(model)).verdict
    assert verdict is not None
    return verdict.word


@pytest.mark.parametrize(("model", "given"), CASES, ids=str)
def test_the_largest_context_fits_and_the_next_does_not(model: str, given: dict[str, Any]) -> None:
    """A multiple of 256 tokens that keeps the margin; 256 more do not, or the model knows no more."""
    known = llama_cases.model(model)
    found = max_context(from_dict({"model": model, **given}), known)
    assert isinstance(found.value, int)

    assert (0, "fits") == (found.value % 256, word(model, **given, context=found.value))
    assert found.value == known.context or word(model, **given, context=found.value + 256) != "fits"


@pytest.mark.parametrize(("model", "given"), [case for case in CASES if "users" not in case[1] and "slots" not in case[1]], ids=str)
def test_the_most_users_fit_and_one_more_does_not(model: str, given: dict[str, Any]) -> None:
    """Every one of them with its own context."""
    asked = {**given, "context": 8192}
    found = max_users(from_dict({"model": model, **asked}), llama_cases.model(model))
    assert isinstance(found.value, int)

    assert "fits" == word(model, **asked, users=found.value)
    assert found.value == 256 or word(model, **asked, users=found.value + 1) != "fits"


@pytest.mark.parametrize("device", ["8GB", "12GB", "24GB", "48GB"])
def test_the_best_quant_fits_and_the_next_does_not(device: str) -> None:
    """Of the recipes that fit none has more bits."""
    model = catalogue.model("qwen3-14b")
    asked = {"model": "qwen3-14b", "context": 16_384, "device": [device]}
    found = best_quant(from_dict(asked), model)
    others = [judged(from_dict({**asked, "quant": quant}), model) for quant in ("Q8_0", "Q6_K", "Q4_K_M", "Q2_K")]
    larger = [a for a in others if a.weights.tensor_bytes > found.answer.weights.tensor_bytes]

    assert found.answer.verdict is not None
    assert "fits" == found.answer.verdict.word
    assert [] == [a.weights.recipe for a in larger if a.verdict and a.verdict.word == "fits"]


def test_nothing_that_fits_is_an_error_of_its_own() -> None:
    """It says what is short; a question without devices, or about a file's quant, is another matter."""
    model = llama_cases.model("deepseek-v3")

    with pytest.raises(NoFitError, match="short"):
        max_context(from_dict({"model": "deepseek-v3", "device": ["24GB"]}), model)
    with pytest.raises(QuestionError, match="no device"):
        max_context(from_dict({"model": "deepseek-v3"}), model)
    with pytest.raises(UnsupportedError, match="one quant"):
        best_quant(from_dict({"model": "deepseek-v3", "device": ["24GB"]}), model)


@settings(deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200), st.integers(-10_000, 100_000))
def test_the_search_finds_where_a_falling_row_turns_negative(steps: list[int], start: int) -> None:
    """Whatever its shape, and in fewer steps than a walk through it."""
    row = [start - sum(steps[:i]) for i in range(len(steps))]
    asked: list[int] = []

    def spare(n: int) -> int:
        asked.append(n)
        return row[n]

    assert sum(value >= 0 for value in row) - 1 == largest(spare, 0, len(row) - 1)
    assert len(asked) <= 8 + 9
