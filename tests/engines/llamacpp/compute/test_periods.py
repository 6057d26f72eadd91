"""The short cut over alike blocks, where layers and tensors lie on several devices."""

import pytest

import llama_cases
from llama_cases import Case
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.compute.families import builder
from tonnage.engines.llamacpp.compute.fusion import Fusion
from tonnage.engines.llamacpp.compute.periods import needed_blocks
from tonnage.engines.llamacpp.compute.reserve import reserved
from tonnage.engines.llamacpp.compute.scheduler import Machine, compute_sizes
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.question import from_dict

CASES = [pytest.param(case, marks=() if i % 8 == 0 else pytest.mark.slow, id=case.name) for i, case in enumerate(llama_cases.spread())]


def walked(case: Case, *, short: bool) -> tuple[int, list[list[int]]]:
    """How many blocks were walked, and the compute buffer of every device for each graph."""
    model = llama_cases.model(case.question.model)
    settings, placement = placement_of(case.question, model)
    tensors = stored_tensors(model, recipe_of(case.question, model), None)
    build = builder(model.architecture)
    assert build
    blocks = needed_blocks(model, tensors, placement) if short else tuple(range(len(model.layers) - model.n_nextn))
    machine = Machine(placement.devices, settings.op_offload, placement.pipeline)
    graphs = reserved(build, model, tensors, settings, placement, blocks)
    return len(blocks), [compute_sizes(graph, machine, Fusion(graph)) for graph in graphs]


@pytest.mark.parametrize("case", CASES)
def test_alike_blocks_may_be_left_out(case: Case) -> None:
    """Blocks are alike that hold the same and lie the same: a few rounds of them need what all of them need."""
    if builder(llama_cases.model(case.question.model).architecture) is None:
        pytest.skip("no graph: nothing is walked")

    assert walked(case, short=False)[1] == walked(case, short=True)[1]


def test_much_is_left_out() -> None:
    """Experts of 26 of 36 layers on the host: two runs of alike blocks."""
    case = Case("", from_dict({"model": "gpt-oss-120b", "n_cpu_moe": 26, "device": "24GB"}), None)

    assert walked(case, short=True)[0] <= 16
