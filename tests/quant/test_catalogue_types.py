"""118 published models as llama.cpp's converter writes them: the type of every tensor, and sizes by recipe."""

import pytest

import oracle
from tonnage.model.hparams import Hparams
from tonnage.model.types import Tensor
from tonnage.quant.recipes import parse
from tonnage.quant.rules import quantise

MODELS = oracle.catalogue()


def quantised(model: str, recipe: str) -> tuple[Tensor, ...]:
    """The model's tensors as `recipe` leaves them."""
    entry = MODELS[model]
    hparams = Hparams.of(entry["arch"], entry["metadata"])
    return quantise(entry["arch"], hparams, oracle.tensors(entry, oracle.STORED), parse(recipe))


@pytest.mark.parametrize("model", MODELS)
def test_tensors_are_all_there(model: str) -> None:
    """The rows of the data stand for as many tensors and parameters as llama.cpp counted."""
    tensors = oracle.tensors(MODELS[model], oracle.STORED)

    assert (MODELS[model]["n_tensors"], MODELS[model]["params_gguf"]) == (len(tensors), sum(t.elements for t in tensors))


@pytest.mark.parametrize("model", MODELS)
def test_every_tensor_has_its_type(model: str) -> None:
    """Q4_K_M, tensor by tensor."""
    assert oracle.tensors(MODELS[model], oracle.Q4_K_M) == quantised(model, "Q4_K_M")


@pytest.mark.parametrize("model", MODELS)
def test_sizes_are_llama_quantize_s(model: str) -> None:
    """Every recipe that was asked about, to the byte."""
    expected = {recipe: answer["bytes"] for recipe, answer in MODELS[model]["quants"].items()}

    assert expected == {recipe: sum(t.nbytes for t in quantised(model, recipe)) for recipe in expected}
