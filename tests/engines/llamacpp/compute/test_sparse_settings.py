"""Graphs of sparse attention where the engine's other runs do not reach: small batches, many slots, weights on the host."""

import pytest

import llama_cases
from llama_cases import Case
from model_files import header_model
from tonnage.answer import Estimate
from tonnage.engines.llamacpp import answer
from tonnage.errors import RefusedError
from tonnage.question import from_dict

CASES = llama_cases.sparse()
STREAMED = "deepseek-v4-flash-like"


@pytest.mark.parametrize("case", [case for case in CASES if case.measured is not None], ids=str)
def test_every_buffer_is_the_engines(case: Case) -> None:
    """Weights, cache and compute to the byte, and none of it called fitted."""
    estimate = llama_cases.answered(case)

    assert case.measured == llama_cases.predicted(estimate)
    assert {"rule"} == bases(estimate)


@pytest.mark.parametrize("case", [case for case in CASES if case.measured is None], ids=str)
def test_a_graph_that_is_too_large_is_refused(case: Case) -> None:
    """MiniMax M3 with more streams than llama.cpp has room for operations."""
    with pytest.raises(RefusedError, match="slots="):
        llama_cases.answered(case)


def bases(estimate: Estimate) -> set[str]:
    """What the compute buffers rest on."""
    return {part.basis for device in estimate.devices for part in device.parts if part.part == "compute"}


@pytest.mark.parametrize(
    ("given", "basis"),
    [
        ({"override_tensor": "hc_=CPU"}, "fitted"),
        ({"gpu_layers": 20, "slots": 8}, "fitted"),
        ({"gpu_layers": 20, "slots": 7}, "rule"),
        ({"n_cpu_moe": 20}, "rule"),
    ],
    ids=["their weights on the host", "four rows for each of 8 tokens are offloaded", "of 7 they are not", "experts on the host"],
)
def test_streams_mixed_step_by_step_are_not_called_exact(given: dict[str, object], basis: str) -> None:
    """DeepSeek V4's streams are mixed by operations that have no steps here; the note of a wide band goes with the band."""
    estimate = answer(from_dict({"model": STREAMED, "n_ctx": 8192, "kv_unified": False, "backend": "cuda"} | given), header_model(STREAMED))

    assert {basis} == bases(estimate)
    assert (basis == "fitted") == any("wide band" in note for note in estimate.notes)
