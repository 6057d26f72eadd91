"""What one generated token reads: weights, chosen experts, cache as far as it is seen."""

import pytest

import llama_cases
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.reads import Reads, reads_by_device
from tonnage.question import from_dict


def reads(model: str, depth: int, **given: object) -> dict[int, Reads]:
    """Of a model as its file stores it."""
    known = llama_cases.model(model)
    settings, placement = placement_of(from_dict({"model": model, "n_ctx": 131_072, **given}), known)
    return reads_by_device(known, known.tensors, settings, placement, depth)


def test_a_dense_model_reads_all_weights_but_the_embedding() -> None:
    """Llama 3.1 8B: everything that lies on the GPU, and 32 layers of 2 x 8 x 128 values in F16 for each token before."""
    tensors = llama_cases.model("llama3.1-8b").tensors
    weights = sum(t.nbytes for t in tensors if t.name != "token_embd.weight")

    assert {0: Reads(weights, 0, 1000 * 32 * 2 * 8 * 128 * 2, 0)} == reads("llama3.1-8b", 1000)


def test_of_the_experts_those_that_are_used() -> None:
    """Qwen3 30B-A3B: 8 of 128."""
    experts = sum(t.nbytes for t in llama_cases.model("qwen3-30b-a3b").tensors if "exps" in t.name)

    assert experts * 8 // 128 == reads("qwen3-30b-a3b", 0)[0].experts


def test_windows_are_read_as_far_as_they_reach() -> None:
    """Gemma 3 27B: of 62 layers 10 see everything, the others 1,024 tokens."""
    row = 2 * 16 * 128 * 2

    assert row * (10 * 50_000 + 52 * 1024) == reads("gemma3-27b", 50_000)[0].kv


def test_experts_are_read_where_they_lie() -> None:
    """With all experts in host memory the GPU reads none."""
    found = reads("qwen3.5-122b-a10b", 0, cpu_moe=True)

    assert (0, True) == (found[0].experts, found[HOST].experts > 0)


@pytest.mark.parametrize("model", ["llama3.1-8b", "gpt-oss-120b", "deepseek-v3", "mamba2-2.7b", "lfm2-1.2b", "gemma3-27b"])
@pytest.mark.parametrize("layers", [0, 5, 100])
def test_placement_moves_reads_and_loses_none(model: str, layers: int) -> None:
    """Wherever layers lie, a token reads the same bytes in all."""
    assert sum(r.total for r in reads(model, 4096).values()) == sum(r.total for r in reads(model, 4096, gpu_layers=layers).values())
