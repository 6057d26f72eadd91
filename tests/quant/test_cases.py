"""llama-quantize --dry-run on 37 models: bytes and tensors of every type, for every recipe."""

from collections import Counter
from typing import Any

import pytest

import oracle
import shapes
from tonnage.errors import RefusedError
from tonnage.model.types import Tensor
from tonnage.quant.recipes import Recipe, parse
from tonnage.quant.rules import quantise

MODELS = oracle.load("llama-quantize-cases")
REFUSED = [(model, recipe) for model, entry in MODELS.items() for recipe, answer in entry["recipes"].items() if "refused" in answer]


def recipe_of(case: str) -> Recipe:
    """`Q4_0+imatrix` -> the recipe."""
    name, _, imatrix = case.partition("+")
    return parse(name, imatrix=bool(imatrix))


def by_type(tensors: tuple[Tensor, ...]) -> dict[str, list[int]]:
    """Type -> tensors and bytes."""
    count, nbytes = Counter(t.type for t in tensors), Counter[str]()
    for tensor in tensors:
        nbytes[tensor.type] += tensor.nbytes
    return {type_: [count[type_], nbytes[type_]] for type_ in count}


@pytest.mark.parametrize("model", MODELS)
def test_shapes_make_the_whole_model(model: str) -> None:
    """The tensor list built here has the tensors and parameters that llama.cpp counted."""
    entry: dict[str, Any] = MODELS[model]
    tensors = shapes.tensors(entry["shapes"])

    assert (entry["n_tensors"], entry["parameters"]) == (len(tensors), sum(t.elements for t in tensors))


@pytest.mark.parametrize("model", MODELS)
def test_types_and_bytes_are_llama_quantize_s(model: str) -> None:
    """Tensors and bytes of every type, to the byte, for each recipe that llama-quantize takes."""
    s, recipes = MODELS[model]["shapes"], MODELS[model]["recipes"]
    tensors = shapes.tensors(s)
    expected = {recipe: answer["tensors_and_bytes_by_type"] for recipe, answer in recipes.items() if "refused" not in answer}

    assert expected == {recipe: by_type(quantise(s["arch"], shapes.metadata(s), tensors, recipe_of(recipe))) for recipe in expected}


@pytest.mark.parametrize(("model", "recipe"), REFUSED)
def test_what_llama_quantize_gives_up_is_refused(model: str, recipe: str) -> None:
    """Q1_0 has no stand-in for rows that are no multiple of 128."""
    s = MODELS[model]["shapes"]

    with pytest.raises(RefusedError, match="cannot be stored as q1_0"):
        quantise(s["arch"], shapes.metadata(s), shapes.tensors(s), recipe_of(recipe))
