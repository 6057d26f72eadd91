"""Recipes that share a walk would each have walked the same."""

import pytest

from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.compute import _walked
from tonnage.engines.llamacpp.compute.alike import walked_for
from tonnage.engines.llamacpp.compute.graph import PRECISE_DOWN
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.question import from_dict

RECIPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K", "IQ2_XXS", "BF16")
PLACES = (["80GB"], ["24GB", "80GB"], ["24GB", "24GB", "12GB", "8GB"])
FAST = ("llama", "qwen35moe", "gpt-oss", "gemma3n")


def one_of_each() -> list[object]:
    """The first built-in model of every architecture, few of them in the fast run."""
    first = {row["architecture"]: row["name"] for row in reversed(catalogue.index()) if row["architecture"]}
    return [pytest.param(name, id=architecture, marks=() if architecture in FAST else pytest.mark.slow) for architecture, name in first.items()]


@pytest.mark.parametrize("name", one_of_each())
def test_recipes_share_a_walk_where_each_would_walk_the_same(name: str) -> None:
    """On one GPU, on two and on four, the buffers of what was walked first are those of a walk of one's own."""
    model = catalogue.model(name)
    shared = 0
    for devices in PLACES:
        own: dict[int, object] = {}
        for quant in RECIPES:
            question = from_dict({"model": name, "quant": quant, "device": devices, "context": min(8192, model.context)})
            settings, placement = placement_of(question, model)
            tensors = stored_tensors(model, recipe_of(question, model), None)
            walked = _walked.__wrapped__(model, Same(tensors), replace(settings, backend="cuda"), placement, False)
            first = walked_for(model.architecture, tensors, placement)
            shared += first is not tensors

            assert own.setdefault(id(first), walked) == walked, (devices, quant)
    assert bool(shared) == (model.architecture not in PRECISE_DOWN)


def test_what_lies_on_the_host_is_walked_for_itself() -> None:
    """Weights that are copied to a GPU have the bytes of their own types."""
    model = catalogue.model("qwen3.5-122b-a10b")
    for keys in ({"cpu_moe": True}, {"gpu_layers": 10}, {"kv_offload": False}, {"backend": "cpu"}):
        for quant in ("Q8_0", "Q4_K_M"):
            question = from_dict({"model": "qwen3.5-122b-a10b", "quant": quant, **keys})
            tensors = stored_tensors(model, recipe_of(question, model), None)

            assert tensors is walked_for(model.architecture, tensors, placement_of(question, model)[1])
