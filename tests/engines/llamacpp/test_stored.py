"""Sizes of files in an answer: the file's own, predicted with a band, or none."""

import pytest

import llama_cases
import tonnage
from tonnage.answer import Band
from tonnage.engines.llamacpp.stored import recipe_of, weights_answer
from tonnage.model import catalogue, custom
from tonnage.model.types import Model
from tonnage.question import from_dict


def file_size(model: Model, quant: str) -> tuple[int | None, Band | None]:
    """Bytes of the file and their band."""
    question = from_dict({"model": "any", "quant": quant})
    answer = weights_answer(model, recipe_of(question, model), None)
    return answer.file_bytes, answer.file_error


def test_a_file_has_its_own_size() -> None:
    """As it is stored, nothing is predicted."""
    assert (4_912_915_936, None) == file_size(llama_cases.model("llama3.1-8b"), "file")


def test_a_predicted_file_has_a_band() -> None:
    """Metadata of Llama 3's tokenizer, 292 rows of table and the padded tensors; templates and names make the band."""
    tensors, table, metadata = 4_912_898_304, 17_335, 7_822_900

    nbytes, error = file_size(catalogue.model("llama-3.1-8b"), "Q4_K_M")

    assert Band(-16_000, 16_000) == error
    assert abs(tensors + table + metadata - nbytes) < 64


@pytest.mark.parametrize("name", ["command-a-03-2025", "mistral-nemo-instruct-2407"])
def test_no_size_without_a_known_tokenizer(name: str) -> None:
    """A vocabulary of which no published file tells the share."""
    assert (None, None) == file_size(catalogue.model(name), "Q4_K_M")


def test_bare_numbers_have_no_file() -> None:
    """What was assumed of a model is nobody's file."""
    assert (None, None) == file_size(custom.model("params=8e9,layers=36,kv_heads=8"), "Q4_K_M")


@pytest.mark.parametrize(("name", "recipe"), [("gpt-oss-20b", "MXFP4_MOE"), ("gpt-oss-120b", "MXFP4_MOE"), ("qwen3-30b-a3b", "Q4_K_M")])
def test_a_checkpoint_of_mxfp4_stays_as_it_is_where_no_quant_is_named(name: str, recipe: str) -> None:
    """All other models come in llama.cpp's usual recipe."""
    assert recipe == recipe_of(from_dict({"model": name}), catalogue.model(name)).full_name


def test_a_model_with_rows_that_some_recipes_cannot_store_is_listed_in_the_others() -> None:
    """gpt-oss has rows of 2,880 elements, for which Q1_0 has no other type."""
    listed = {row["quant"] for row in tonnage.quants("gpt-oss-20b")["rows"]}
    assert {"MXFP4_MOE", "Q8_0", "Q4_K_M"} <= listed
    assert "Q1_0" not in listed
