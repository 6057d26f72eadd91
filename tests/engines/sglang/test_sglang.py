"""SGLang: defaults, pools and answers, against its source's own figures and public logs."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tonnage
from tonnage import data
from tonnage.engines.sglang.pools import Cells, cells, pools
from tonnage.engines.sglang.settings import default_fraction, resolve, vision_factor
from tonnage.engines.torch.ranks import Ranks
from tonnage.errors import QuestionError, RefusedError, UnsupportedError
from tonnage.question import from_dict
from tonnage.render import render
from tonnage.units import GIB
from torch_cases import model

TOLD = jsonschema.Draft202012Validator(json.loads(data.read("schema/answer.json")))


def asked(name, **keys):
    """A question as SGLang resolves it."""
    return resolve(from_dict({"model": name, "engine": "sglang", **keys}), model(name))


def test_a_token_takes_what_the_log_says():
    """Qwen3-235B on four ranks: 367,404 tokens are 8.23 GiB of keys, and as much of values (vllm-project/vllm#21348)."""
    per_token = cells(model("qwen3-235b-a22b"), asked("qwen3-235b-a22b", tensor_parallel=4)).full

    assert 8.23 == round(367404 * per_token / 2 / GIB, 2)


def test_states_of_a_request_are_the_sources_own():
    """Qwen3.5-122B on four ranks, as reckoned from the source's shapes."""
    assert 38_412_288 == cells(model("qwen3.5-122b-a10b"), asked("qwen3.5-122b-a10b", tensor_parallel=4)).state


def test_nearly_half_of_what_is_left_goes_to_states():
    """0.9 of 1.9 parts, in whole states; keys and values get the rest."""
    question = asked("qwen3.5-122b-a10b", tensor_parallel=4, context=32768)
    cell, rest = cells(model("qwen3.5-122b-a10b"), question), 20 * GIB
    found = pools(rest, cell, question)

    assert int(rest * 0.9 / 1.9) // cell.state - 1 == found.states
    assert (rest - (found.states + 1) * cell.state) // cell.full == found.tokens


FRACTIONS = [
    # 512 + 1.5 x 4096 + 128 + 2 x 48 + 8 x 50 = 7280
    (24576, 4096, Ranks(), 48, False, 0.704),
    # 512 + 1.5 x 8192 + 1024 + 2 x 512 + 8 x 58 = 15312
    (81559, 8192, Ranks(8), 512, False, 0.812),
    # 512 + 1.5 x 8192 + 1024 + 2 x 512 + 1536 = 16384
    (81559, 8192, Ranks(8), 512, True, 0.799),
    # 512 + 1.5 x 2048 + 128 + 2 x 8 + 8 x 42 = 4064, but 10,240 are kept above 60 GiB
    (81559, 2048, Ranks(), 8, False, 0.874),
]


@pytest.mark.parametrize(("mib", "chunk", "ranks", "decode", "latent", "expected"), FRACTIONS)
def test_the_static_share_follows_what_is_reserved(mib, chunk, ranks, decode, latent, expected):
    """(memory - reserved) / memory, to three places."""
    assert expected == default_fraction(mib, chunk, ranks, decode, latent=latent)


def test_a_vision_tower_lowers_the_share():
    """Gemma 3's 27 layers of 1,152; a text model has none."""
    assert round(0.95 * (1 - 0.1 * (27 * 1152**2 / (24 * 1024**2) - 1)), 6) == round(vision_factor(model("gemma-3-27b")), 6)
    assert 1.0 == vision_factor(model("llama-3.1-8b"))


def test_windows_have_a_pool_of_their_own():
    """0.8 of the full layers' tokens; both together are what is left."""
    question = asked("gemma-3-27b", context=32768)
    cell = cells(model("gemma-3-27b"), question)
    found = pools(10 * GIB, cell, question)

    assert int(found.tokens * 0.8) == found.window_tokens
    assert 0 <= 10 * GIB - found.tokens * cell.full - found.window_tokens * cell.window < 2 * (cell.full + cell.window)


@settings(deadline=None)
@given(st.integers(0, 1 << 38), st.integers(1, 1 << 20), st.integers(0, 1 << 20), st.integers(0, 1 << 26))
def test_pools_never_take_more_than_is_left(rest, full, window, state):
    """Whatever a token and a state take."""
    found = pools(rest, Cells(full, window, state, 1024), asked("llama-3.1-8b", context=8192))
    states = (found.states + 1) * state if found.states else 0

    assert found.tokens * full + int(found.window_tokens) * window + states <= rest + window


REFUSED = [
    ({"mem_fraction_static": 1}, QuestionError, "mem_fraction_static=1"),
    ({"kv_cache_dtype": "q8"}, QuestionError, "kv_cache_dtype=q8"),
    ({"engine_version": "0.4"}, UnsupportedError, "SGLang 0.5"),
    ({"device": "m4 max 128"}, RefusedError, "CUDA and ROCm"),
    ({"quant": "mlx-4bit"}, UnsupportedError, "sglang cannot load"),
    ({"tensor_parallel": 3}, RefusedError, "tensor_parallel=3"),
]


@pytest.mark.parametrize(("keys", "kind", "words"), REFUSED, ids=str)
def test_what_cannot_be_is_one_clear_line(keys, kind, words):
    """Value, reason and what to take instead."""
    with pytest.raises(kind, match=words):
        tonnage.estimate("llama-3.1-8b-instruct", engine="sglang", **keys)


ASKED = [
    ("qwen3.5-122b-a10b", {"device": "4x H100"}),
    ("gemma-3-27b-it", {"device": "H100"}),
    ("deepseek-v3", {"device": "8x H200"}),
    ("gpt-oss-20b", {}),
]


@pytest.mark.parametrize(("name", "keys"), ASKED, ids=str)
def test_answers_keep_to_the_schema(name, keys):
    """Need, share and capacity; every form shows them."""
    told = tonnage.estimate(name, engine="sglang", **keys)

    assert [] == [error.message for error in TOLD.iter_errors(json.loads(render("json", tonnage.Question(model="a"), told)))]
    assert (told.verdict is None) == (not keys)
    assert "sglang.launch_server" in render("table", tonnage.Question(model="a"), told)


@pytest.mark.parametrize("part", ["weights", "kv", "state", "runtime"])
def test_every_part_is_explained(part):
    """Rule, numbers and source."""
    assert "SGLang" in tonnage.explain(part, "qwen3.5-27b", engine="sglang").source


def test_a_context_that_one_request_cannot_hold_is_told_with_the_largest():
    """The pool's own tokens."""
    told = tonnage.estimate("llama-3.1-8b-instruct", engine="sglang", available_kv="4GiB", context=131072)

    assert ("too big", 32768) == (told.verdict.word, told.capacity["kv_tokens"])
    assert "the largest context of one request is 32,768" in told.verdict.text
