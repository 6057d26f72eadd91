"""MLX-LM: weights, caches in steps, peaks against public runs, the wired limit."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tonnage
from tonnage import data
from tonnage.errors import QuestionError, RefusedError, UnsupportedError
from tonnage.render import render

TOLD = jsonschema.Draft202012Validator(json.loads(data.read("schema/answer.json")))


def parts(model, **keys):
    """Part -> bytes."""
    return {part.part: part.bytes for part in tonnage.estimate(model, engine="mlx", **keys).devices[0].parts}


def test_weights_are_those_of_the_published_conversion():
    """Llama-3.2-1B in 4 bit: its file's tensors to the byte."""
    assert 695_242_752 == parts("llama-3.2-1b-instruct", quant="mlx-4bit")["weights"]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 100_000))
def test_a_cache_grows_in_steps_of_256_tokens(context):
    """Full layers: 8 heads of 128, keys and values, 28 layers."""
    assert 28 * 2 * 8 * 128 * 2 * (-(-context // 256) * 256) == parts("llama-3.2-3b-instruct", context=context)["kv"]


def test_a_quantised_cache_has_a_scale_and_a_bias_per_64():
    """8.5 and 4.5 bits of 16."""
    full, eight, four = (parts("llama-3.2-3b-instruct", context=4096, kv_cache_dtype=kind)["kv"] for kind in ("auto", "8", "4"))

    assert (full * 8.5 / 16, full * 4.5 / 16) == (eight, four)


def test_windows_are_rings_with_a_chunk_more_while_the_prompt_is_read():
    """Gemma 3 27B: 10 full layers, 52 with 1,024 + 2,048 - 1 tokens."""
    token = 16 * 256 * 2

    assert token * (10 * 32768 + 52 * 3071) == parts("gemma-3-27b-it", context=32768)["kv"]


PEAKS = [
    ("qwen3-4b-instruct-2507", "bf16", 9.02), ("qwen3-4b-instruct-2507", "mlx-8bit", 5.254), ("qwen3-4b-instruct-2507", "mlx-6bit", 4.25),
    ("qwen3-4b-instruct-2507", "mlx-5bit", 3.86), ("qwen3-4b-instruct-2507", "mlx-4bit", 3.35), ("qwen3-30b-a3b-instruct-2507", "mlx-8bit", 33.46),
    ("qwen3-30b-a3b-instruct-2507", "mlx-6bit", 25.82), ("qwen3-30b-a3b-instruct-2507", "mlx-5bit", 22.01),
    ("qwen3-30b-a3b-instruct-2507", "mlx-4bit", 18.2),
]  # fmt: skip
"""peak GB of mlx-lm 0.28.2 with 2,048 tokens of prompt and 128 more, on an M4 Max of 64 GB"""


@pytest.mark.parametrize(("model", "quant", "gb"), PEAKS)
def test_public_peaks_are_met_within_three_percent(model, quant, gb):
    """Weights, cache and the logits of the last chunk."""
    assert abs(sum(parts(model, quant=quant, context=2176).values()) / (gb * 1e9) - 1) < 0.03


def test_the_wired_limit_is_what_is_usable():
    """The system's recommended working set, or the limit that was set."""
    told = tonnage.estimate("qwen3-32b", engine="mlx", device="m4 max 64")
    raised = tonnage.estimate("qwen3-32b", engine="mlx", device="m4 max 64", wired_limit="60GiB")

    assert 55_662_790_000 == told.devices[0].usable_bytes
    assert 60 * 2**30 == raised.devices[0].usable_bytes
    assert "fits" == told.verdict.word


REFUSED = [
    ({"device": "H100"}, RefusedError, "Apple"),
    ({"quant": "awq"}, UnsupportedError, "mlx cannot load 'awq'"),
    ({"quant": "Q4_K_M"}, UnsupportedError, "mlx cannot load 'Q4_K_M'"),
    ({"kv_cache_dtype": "fp8"}, QuestionError, "kv_cache_dtype=fp8"),
    ({"engine_version": "0.1"}, UnsupportedError, "0.28 to 0.32"),
]


@pytest.mark.parametrize(("keys", "kind", "words"), REFUSED, ids=str)
def test_what_cannot_be_is_one_clear_line(keys, kind, words):
    """Value, reason and what to take instead."""
    with pytest.raises(kind, match=words):
        tonnage.estimate("qwen3-32b", engine="mlx", **keys)


@pytest.mark.parametrize("name", ["qwen3.5-122b-a10b", "gpt-oss-20b", "deepseek-v3"])
def test_answers_keep_to_the_schema(name):
    """Every kind of cache."""
    told = tonnage.estimate(name, engine="mlx", device="m3 ultra 512")

    assert [] == [error.message for error in TOLD.iter_errors(json.loads(render("json", tonnage.Question(model="a"), told)))]
    assert "mlx_lm.server" in told.command["mlx"]


@pytest.mark.parametrize("part", ["weights", "kv", "state", "activations"])
def test_every_part_is_explained(part):
    """Rule, numbers and source."""
    assert "mlx-lm" in tonnage.explain(part, "qwen3.5-27b", engine="mlx").source
