"""Interpolated compute buffers against the walk at the same contexts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.compute import compute_by_device
from tonnage.engines.llamacpp.compute.curve import at_cells, compute_curve, interpolated, knots
from tonnage.engines.llamacpp.compute.families import builder
from tonnage.engines.llamacpp.settings import resolve
from tonnage.question import from_dict

SPARSE = frozenset({"deepseek32", "deepseek4", "glm-dsa", "glm5-next", "hy_v4", "minimax-m3", "qwen4exp"})
"""architectures that choose which tokens they attend to: their graphs change where fewer are there than are chosen"""
MODELS = [
    name
    for name in sorted(llama_cases.read("llama-cases")["file_bytes"])
    if (arch := llama_cases.model(name).architecture) not in SPARSE and builder(arch)
]
PLAIN: list[dict[str, Any]] = [{}, {"users": 4}, {"device": ["24GB", "24GB"]}]
"""the server's settings: exact"""
JUMPING: list[dict[str, Any]] = [{"cache_type_k": "q8_0", "cache_type_v": "q8_0"}, {"profile": "tools"}, {"n_cpu_moe": 4}, {"gpu_layers": 8}]
MOST_OFF = 0.44
"""share of a buffer by which the line may miss a jump: Llama 4 Scout with 8 layers on the GPU, at 123,904 of 16,384 to 262,144"""


def both(model: str, given: dict[str, Any], low: int, high: int, contexts: list[int]) -> list[tuple[dict[int, int], dict[int, int]]]:
    """Curve and walk at every context, a curve from `low` to `high`."""
    known = llama_cases.model(model)
    asked, placement = placement_of(from_dict({"model": model, "context": high, **given}), known)
    curve = compute_curve(known, known.tensors, asked, placement, [low, *contexts, high])[1:-1]
    walked = [compute_by_device(known, known.tensors, at_cells(asked, n), placement) for n in contexts]
    return [(dict(line), {d: c.bytes for d, c in walk.items()}) for line, walk in zip(curve, walked, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("given", PLAIN, ids=str)
def test_the_servers_curve_is_exact(model: str, given: dict[str, Any]) -> None:
    """With everything on GPUs every point of the line is the walk's own number."""
    for line, walk in both(model, given, 4096, 131_072, [6144, 20_480, 100_096]):
        assert walk == line


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(st.sampled_from(MODELS), st.sampled_from([*PLAIN, *JUMPING]), st.integers(17, 511))
def test_no_point_of_a_curve_is_far_off(model: str, given: dict[str, Any], blocks: int) -> None:
    """Where the peak jumps between two walks, the line misses it by no more than the largest error that was found."""
    ((line, walk),) = both(model, given, 4096, 131_072, [256 * blocks])

    assert walk.keys() == line.keys()
    assert all(abs(line[d] - walk[d]) <= MOST_OFF * walk[d] for d in walk)


@pytest.mark.parametrize("given", [{}, {"users": 3}, {"users": 3, "profile": "tools"}, {"ubatch": 2048, "batch": 4096}], ids=str)
@pytest.mark.parametrize("context", [256, 1024, 40_960])
def test_another_context_is_the_same_question(given: dict[str, Any], context: int) -> None:
    """Settings moved to another context are those of a question that asks for it."""
    known = llama_cases.model("qwen3-30b-a3b")
    at = [resolve(from_dict({"model": "qwen3-30b-a3b", "context": n, **given}), known) for n in (65_536, context)]

    assert at[1] == at_cells(at[0], at[1].cells)


def test_few_contexts_are_walked() -> None:
    """Both ends, the middle between them, and where a window is full; never beyond what is asked."""
    known = llama_cases.model("gemma3-27b")
    asked, _ = placement_of(from_dict({"model": "gemma3-27b", "context": 131_072, "slots": 1}), known)

    assert (4096, 23_040, 131_072) == knots(known, asked, 4096, 131_072)
    assert (1024, 1536, 11_520, 131_072) == knots(known, asked, 1024, 131_072)
    assert (8192,) == knots(known, asked, 8192, 8192)


def test_a_point_between_two_walks_lies_on_their_line() -> None:
    """Also beyond them, on the line of the nearest two."""
    walked = {100: {0: 10, -1: 0}, 200: {0: 30, -1: 5}, 400: {0: 30, -1: 5}}

    assert [{0: 20, -1: 2}, {0: 30, -1: 5}, {0: 30, -1: 5}] == [interpolated(walked, n) for n in (150, 200, 500)]
