"""Bytes of parameters on every rank, against vLLM's own."""

import pytest

from tonnage.engines.torch.ranks import Ranks, stages
from tonnage.engines.torch.storage import storage_of
from tonnage.engines.torch.weights import weights_per_rank
from tonnage.errors import RefusedError
from tonnage.question import Question
from torch_cases import VLLM, ident, model, settings


def parameters(name, ranks):
    """Bytes of each stage's ranks, in the format that the config names."""
    found = weights_per_rank(model(name), storage_of(Question(model=name), model(name), "vllm"), ranks)
    return [rank.parameters for rank in found]


@pytest.mark.parametrize("case", VLLM, ids=ident)
def test_parameters_of_every_rank_are_the_engines_own(case):
    """Not a byte apart, with tensor, pipeline and expert parallelism and in every format; MXFP4 with its kernel's padding."""
    asked = settings(case)
    vision = "limit_mm_per_prompt" not in case["extra"]
    found = weights_per_rank(model(case["model"]), asked.storage, asked.ranks, vision=vision)

    assert case["weight_bytes_per_rank"] == [rank.parameters for rank in found]


PER_RANK = [
    ("llama-3.1-70b", Ranks(4), [35278831616]),
    ("llama-3.1-70b", Ranks(8), [17640734720]),
    ("llama-3.1-70b", Ranks(1, 8), [19214434304, *[17113088000] * 6, 19214434304 + 16384]),
    ("qwen3.5-122b-a10b", Ranks(2), [122605641840]),
    ("qwen3.5-122b-a10b", Ranks(8), [30743954652]),
    ("qwen3.5-397b-a17b", Ranks(8), [99477379980]),
    ("x-llama-fp8block", Ranks(), [9082904832]),
    ("x-llama-awq", Ranks(), [5727854592]),
]
"""further builds of the same run: sums that were noted, without their layers"""


@pytest.mark.parametrize(("name", "ranks", "expected"), PER_RANK, ids=lambda value: str(value)[:40])
def test_further_builds_come_out_even(name, ranks, expected):
    """Models, ranks and formats that the cases do not have."""
    assert expected == parameters(name, ranks)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "qwen3-235b-a22b", "gemma-3-27b", "deepseek-v3", "qwen3.5-35b-a3b"])
def test_ranks_together_hold_the_model(name):
    """Two ranks hold at least what one holds, and at most what is copied more."""
    (one,), (two,) = parameters(name, Ranks()), parameters(name, Ranks(2))

    assert one <= 2 * two < 1.02 * one


def test_expert_parallelism_shares_experts_whole():
    """The same bytes where both come out even, without cutting an expert."""
    assert parameters("deepseek-v3", Ranks(8)) == parameters("deepseek-v3", Ranks(8, ep=True))


def test_layers_left_over_go_to_the_stages_before_the_last():
    """61 layers on four stages (get_pp_indices of vLLM)."""
    assert [15, 15, 16, 15] == [len(stage) for stage in stages(61, 4)]
    assert [15, 16, 16, 15] == [len(stage) for stage in stages(62, 4)]


REFUSED = [
    ("llama-3.1-8b", Ranks(6), "tensor_parallel=6"),
    ("qwen3.5-27b", Ranks(7), "tensor_parallel=7"),
    ("qwen3.5-122b-a10b", Ranks(3), "tensor_parallel=3"),
    ("qwen3.5-122b-a10b", Ranks(3, ep=True), "3"),
    ("x-qwen122-fp8", Ranks(4), "blocks of 128 x 128"),
]


@pytest.mark.parametrize(("name", "ranks", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_does_not_come_out_even_is_refused(name, ranks, words):
    """Heads, experts and blocks of scales are never cut; one line says which and how many."""
    with pytest.raises(RefusedError, match=words):
        parameters(name, ranks)
