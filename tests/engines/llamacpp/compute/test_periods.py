"""The short cut over alike blocks, where layers and tensors lie on several devices."""

import random

import pytest

import llama_cases
import oracle
from llama_cases import Case
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.compute.families import builder
from tonnage.engines.llamacpp.compute.fusion import Fusion
from tonnage.engines.llamacpp.compute.periods import needed_blocks
from tonnage.engines.llamacpp.compute.reserve import reserved
from tonnage.engines.llamacpp.compute.scheduler import Machine, compute_sizes
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.errors import RefusedError
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import Question, from_dict

CASES = [pytest.param(case, marks=() if i % 8 == 0 else pytest.mark.slow, id=case.name) for i, case in enumerate(llama_cases.spread())]


def walked(case: Case, *, short: bool) -> tuple[int, list[list[int]]]:
    """How many blocks were walked, and the compute buffer of every device for each graph."""
    return walk(case.question, llama_cases.model(case.question.model), short=short)


def walk(question: Question, model: Model, *, short: bool) -> tuple[int, list[list[int]]]:
    """The same of any model."""
    settings, placement = placement_of(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), None)
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


NAMES = sorted(hub_id for hub_id, entry in oracle.catalogue().items() if builder(entry["arch"]))
PLACES = ({}, {}, {"override_tensor": "ffn_down=CPU"}, {"override_tensor": "attn_=CPU"})


def placed_anywhere(drawn: random.Random, model: Model) -> Question:
    """The model on one to four devices, with some of its layers, experts or matrices on the host."""
    n = len(model.layers)
    devices = [f"cuda:{drawn.choice((7730, 11780, 23990, 48480))}MiB-free" for _ in range(drawn.choice((1, 1, 2, 2, 3, 4)))]
    given = {"model": model.name, "quant": "Q4_K_M", "context": drawn.choice((4096, 32768)), "slots": drawn.choice((1, 4)), "device": devices}
    away = drawn.choice([*PLACES, {"gpu_layers": drawn.randrange(n)}, {"n_cpu_moe": drawn.randrange(n)}])
    return from_dict(given | away)


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 8 else pytest.mark.slow) for n in range(80)])
def test_alike_blocks_may_be_left_out_wherever_they_lie(seed: int) -> None:
    """Any model of the catalogue, anywhere: a few rounds need what all of them need."""
    drawn = random.Random(seed)
    model = catalogue.model(drawn.choice(NAMES))
    question = placed_anywhere(drawn, model)
    try:
        whole = walk(question, model, short=False)[1]
    except RefusedError:
        pytest.skip("placed so, the engine refuses it")

    assert whole == walk(question, model, short=True)[1]


def test_much_is_left_out() -> None:
    """Experts of 26 of 36 layers on the host: two runs of alike blocks."""
    case = Case("", from_dict({"model": "gpt-oss-120b", "n_cpu_moe": 26, "device": "24GB"}), None)

    assert walked(case, short=True)[0] <= 20
