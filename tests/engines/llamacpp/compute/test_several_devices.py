"""What is reserved where layers and tensors are spread over devices: the short cuts hold, and factors lie beside their layers."""

from typing import Any

import pytest

import llama_cases
from tonnage.engines.llamacpp.compute import compute_by_device, reserve
from tonnage.engines.llamacpp.compute.families import builder
from tonnage.engines.llamacpp.placement import HOST, place
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.weights import ROTATION_TENSORS, homes
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import from_dict

HYBRIDS = ("qwen3.5-122b-a10b", "kimi-linear-48b", "nemotron3-nano-30b", "lfm2-1.2b")
FEED_FORWARD = (
    r"ffn_(up|down|gate)_exps=CPU",
    r"ffn_.*=CPU",
    r"blk\.3\.ffn_(gate|up|gate_up|down).*=CPU",
    r"blk\.3\.ffn_down.*=CUDA1,blk\.(7|8|9)\.ffn_up=CUDA0,ffn_=CPU",
    r"blk\.\d*[02468]\.ffn_.*=CUDA1,ffn_.*=CUDA0",
)
ROTATED = (
    "meta-llama/Llama-3.3-70B-Instruct",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "google/gemma-4-26B-A4B-it",
    "LGAI-EXAONE/EXAONE-4.5-33B",
    "swiss-ai/Apertus-8B-Instruct-2509",
)
SPREADS: tuple[dict[str, Any], ...] = ({}, {"tensor_split": [3, 1]}, {"override_tensor": "ffn_up=CPU"})


@pytest.mark.parametrize("name", HYBRIDS)
@pytest.mark.parametrize("overrides", FEED_FORWARD)
def test_feed_forward_parts_elsewhere_let_no_mixer_stray(name: str, overrides: str) -> None:
    """What is not probed for would not be found: attention stays on its layers' devices."""
    question, model = from_dict({"model": name, "override_tensor": overrides}), llama_cases.model(name)
    build = builder(model.architecture)
    assert build is not None
    one = reserve.Reserve(build, model, model.tensors, resolve(question, model), place(question, model, [1, 1]))

    assert not reserve._may_stray(one)
    assert one == reserve._with_flash_resolved(one)


@pytest.mark.parametrize(("overrides", "expected"), [(r"blk\.3\.=CUDA1", True), ("attn_q=CPU", True), ("ffn_norm=CPU", False), ("output=CPU", True)])
def test_mixers_elsewhere_are_probed_for(overrides: str, expected: bool) -> None:
    """Also where a pattern was meant for something else: `output` is part of `attn_output`."""
    question, model = from_dict({"model": HYBRIDS[0], "override_tensor": overrides}), llama_cases.model(HYBRIDS[0])

    assert expected == reserve._moves_mixers(model.tensors, place(question, model, [1, 1]))


@pytest.mark.parametrize("hub_id", ROTATED)
@pytest.mark.parametrize("given", SPREADS, ids=str)
def test_factors_of_the_rotation_cost_no_scratch_memory(hub_id: str, given: dict[str, Any]) -> None:
    """With all layers on GPUs nothing is copied for them: a model without any needs as much."""
    model = catalogue.model(hub_id)
    without = replace(model, tensors=tuple(t for t in model.tensors if t.name not in ROTATION_TENSORS))
    assert model.tensors != without.tensors

    assert computed(without, given) == computed(model, given)


def computed(model: Model, given: dict[str, Any]) -> dict[int, int]:
    """Compute buffers on two GPUs."""
    question = from_dict({"model": model.name, "n_ctx": 8192, **given})
    tensors = stored_tensors(model, recipe_of(question, model), None)
    sizes = compute_by_device(model, tensors, resolve(question, model), place(question, model, [2, 1]))
    return {device: one.bytes for device, one in sizes.items()}


@pytest.mark.parametrize("hub_id", ROTATED)
def test_every_device_with_layers_has_the_factors(hub_id: str) -> None:
    """The host too, where some layers are left to it."""
    model = catalogue.model(hub_id)
    placement = place(from_dict({"model": hub_id, "gpu_layers": 15}), model, [1, 1])
    found = {(tensor.name, device) for tensor, device in homes(model, model.tensors, placement, False) if tensor.name in ROTATION_TENSORS}
    names = {tensor.name for tensor in model.tensors if tensor.name in ROTATION_TENSORS}

    assert {(name, device) for name in names for device in (HOST, 0, 1)} == found
