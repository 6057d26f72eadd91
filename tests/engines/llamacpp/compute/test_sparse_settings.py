"""Graphs of sparse attention where the engine's other runs do not reach: small batches, many slots, streams mixed step by step."""

import pytest

import llama_cases
from llama_cases import Case
from model_files import header_model
from tonnage.answer import Estimate
from tonnage.engines.llamacpp import answer
from tonnage.engines.llamacpp.compute import families
from tonnage.engines.llamacpp.compute.fusion import Fusion
from tonnage.engines.llamacpp.compute.graph import Graph
from tonnage.engines.llamacpp.compute.reserve import Reserve, reserved
from tonnage.engines.llamacpp.compute.scheduler import Machine, compute_sizes
from tonnage.engines.llamacpp.placement import place
from tonnage.engines.llamacpp.settings import resolve
from tonnage.errors import RefusedError
from tonnage.frozen import replace
from tonnage.question import from_dict

pytestmark = pytest.mark.slow

CASES = llama_cases.sparse()
DEEPSEEK = "deepseek-v4-flash-like"
PRE, COMB, POST = "DSV4_HC_PRE", "DSV4_HC_COMB", "DSV4_HC_POST"

STEPS = [
    (32768, 1, 512, (PRE,), 314_184_640),
    (32768, 1, 512, (COMB,), 305_757_824),
    (32768, 1, 512, (POST,), 288_977_856),
    (32768, 1, 512, (PRE, COMB, POST), 288_980_608),
    (8192, 4, 128, (POST,), 68_233_984),
    (8192, 4, 128, (PRE, COMB, POST), 68_236_736),
    (131072, 2, 2048, (PRE, COMB), 1_297_271_264),
    (131072, 2, 2048, (COMB, POST), 1_230_162_400),
]
"""context, slots, ubatch, operations that are given up, bytes: build 11434 on the CPU, told that these run on another device"""


@pytest.mark.parametrize("case", [case for case in CASES if case.measured is not None], ids=str)
def test_every_buffer_is_the_engines(case: Case) -> None:
    """Weights, cache and compute to the byte, and none of it called fitted."""
    estimate = llama_cases.answered(case)

    assert case.measured == llama_cases.predicted(estimate)
    assert {"rule"} == bases(estimate)


def bases(estimate: Estimate) -> set[str]:
    """What the compute buffers rest on."""
    return {part.basis for device in estimate.devices for part in device.parts if part.part == "compute"}


@pytest.mark.parametrize("case", [case for case in CASES if case.measured is None], ids=str)
def test_a_graph_that_is_too_large_is_refused(case: Case) -> None:
    """MiniMax M3 with more streams than llama.cpp has room for operations."""
    with pytest.raises(RefusedError, match="slots="):
        llama_cases.answered(case)


@pytest.mark.parametrize(("n_ctx", "slots", "ubatch", "given_up", "expected"), STEPS)
def test_streams_mixed_step_by_step_take_what_the_engine_takes(n_ctx: int, slots: int, ubatch: int, given_up: tuple[str, ...], expected: int) -> None:
    """DeepSeek V4 without one fused operation on residual streams, or without several."""
    graph = reserve(backend="cpu", n_ctx=n_ctx, slots=slots, ubatch=ubatch, given_up=given_up).graph()

    assert [expected] == compute_sizes(graph, Machine(0), Fusion(graph))


@pytest.mark.parametrize(
    ("options", "fused"),
    [
        ({"override_tensor": "hc_=CPU"}, False),
        ({"gpu_layers": 20, "slots": 8}, False),
        ({"gpu_layers": 20, "slots": 7}, True),
        ({"n_cpu_moe": 20}, True),
    ],
    ids=["their weights on the host", "four rows for each of 8 tokens are offloaded", "of 7 they are not", "experts on the host"],
)
def test_a_fused_operation_that_strays_is_given_up(options: dict[str, object], fused: bool) -> None:
    """The matrices that mix streams are computed where their layer is, or step by step."""
    assert fused == any(node.op == COMB for node in graph_reserved(backend="cuda", n_ctx=8192, **options).nodes)


def graph_reserved(**options: object) -> Graph:
    """The graph that DeepSeek V4 is reserved with, after all trials."""
    r = reserve(**options)
    return next(reserved(r.build, r.model, r.tensors, r.settings, r.placement))


def reserve(given_up: tuple[str, ...] = (), **options: object) -> Reserve:
    """DeepSeek V4 as a question has it."""
    model = header_model(DEEPSEEK)
    question = from_dict({"model": DEEPSEEK, "slots": 1, "kv_unified": False} | options)
    placement = place(question, model, [] if question.backend == "cpu" else [1])
    build = families.builder(model.architecture)
    assert build is not None
    return Reserve(build, model, model.tensors, resolve(question, model), placement, given_up=frozenset(given_up))


def test_a_file_that_does_not_tell_the_steps_has_a_band_and_a_note() -> None:
    """How often sums are evened out is in the metadata; where it is not, the buffer is fitted and the answer says so."""
    model = header_model(DEEPSEEK)
    silent = replace(model, hparams={key: value for key, value in model.hparams.items() if "sinkhorn" not in key})
    estimates = [answer(from_dict({"model": DEEPSEEK, "override_tensor": "hc_=CPU"}), m) for m in (model, silent)]

    assert [{"rule"}, {"fitted"}] == [bases(estimate) for estimate in estimates]
    assert [False, True] == [any("wide band" in note for note in estimate.notes) for estimate in estimates]
