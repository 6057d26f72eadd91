"""What llama-quantize makes of small made-up models, block by block: what no published model shows."""

from itertools import groupby
from typing import Any

import pytest

import oracle
from tonnage.errors import RefusedError
from tonnage.model.types import Tensor
from tonnage.quant.recipes import parse
from tonnage.quant.rules import quantise

MODELS = oracle.load("llama-quantize-small")


def tensors_of(model: dict[str, Any]) -> tuple[Tensor, ...]:
    """In a file's usual order: all of block 0, then all of block 1."""
    names = [(name, tuple(shape)) for name, shape in model["tensors"]]
    roots = (Tensor(name, shape, "bf16") for name, shape in names if "{}" not in name)
    blocks = range(model["hparams"]["block_count"])
    return (*roots, *(Tensor(name.format(i), shape, "bf16") for i in blocks for name, shape in names if "{}" in name))


def quantised(model: dict[str, Any], recipe: str) -> dict[str, str] | str:
    """Name without block -> types over the blocks, as `type*times`; `refused` for what is."""
    asked = parse(recipe, output_type=model.get("output_type"), embedding_type=model.get("embedding_type"))
    found: dict[str, list[str]] = {}
    try:
        for tensor in quantise(model["architecture"], model["hparams"], tensors_of(model), asked):
            found.setdefault(tensor.name.split(".", 2)[2] if tensor.block is not None else tensor.name, []).append(tensor.type)
    except RefusedError:
        return "refused"
    return {name: " ".join(f"{type_}*{len(list(run))}" for type_, run in groupby(types)) for name, types in found.items()}


@pytest.mark.parametrize("model", MODELS)
def test_types_are_llama_quantize_s(model: str) -> None:
    """Falcon, "70B" models, eight experts, two ffn_down per block, rows that fit no block, overrides."""
    expected = MODELS[model]["recipes"]

    assert expected == {recipe: quantised(MODELS[model], recipe) for recipe in expected}
