"""Ways to share a model out over devices: all that the engine takes, ranked by what they carry."""

import json

import pytest

from tonnage.cli import main
from tonnage.errors import NoFitError, QuestionError, RefusedError
from tonnage.estimation import judged
from tonnage.model import catalogue
from tonnage.question import from_dict
from tonnage.serving import Way, ways

pytestmark = pytest.mark.slow


def found(model: str, **given: object) -> tuple[Way, ...]:
    """The ways of a question about vLLM."""
    return ways(from_dict({"model": model, "engine": "vllm", **given}), catalogue.model(model))


@pytest.mark.parametrize(("model", "device"), [("qwen3.5-122b-a10b", "8x H100"), ("llama-3.3-70b-instruct", "4x H100"), ("qwen3-32b", "2x H200")])
def test_every_way_uses_all_devices(model: str, device: str) -> None:
    """Ranks, stages and replicas together are the devices, and each way is there once with each cache."""
    count = int(device[0])
    names = ("tensor_parallel", "pipeline_parallel", "data_parallel", "kv_cache_dtype")
    splits = [tuple(way.flags[name] for name in names) for way in found(model, device=device)]

    assert {count} == {tp * pp * dp for tp, pp, dp, _ in splits}
    assert len(splits) == len(set(splits))


def test_the_first_carries_the_users_without_loss_if_any_way_does() -> None:
    """A lossy cache is taken where nothing else is enough."""
    few, many = (found("qwen3-32b", quant="fp8", context=16_384, device="3x RTX 4090", users=users)[0] for users in (4, 10))

    assert ("auto", True) == (few.flags["kv_cache_dtype"], few.requests >= 4)
    assert ("fp8", True) == (many.flags["kv_cache_dtype"], many.requests >= 10)


def test_what_a_way_says_is_what_an_estimate_says() -> None:
    """Asked as it stands, the question of a way has the same capacity."""
    way = found("llama-3.3-70b-instruct", device="4x H100", context=32_768)[0]
    asked = from_dict({"model": "llama-3.3-70b-instruct", "engine": "vllm", "device": "4x H100", "context": 32_768, **way.flags})

    assert way.answer.capacity == judged(asked, catalogue.model("llama-3.3-70b-instruct")).capacity


def test_what_is_named_is_kept() -> None:
    """A split that the question names is not varied."""
    named = found("qwen3-32b", device="2x H200", tensor_parallel=2, kv_cache_dtype="fp8")

    assert {(2, "fp8")} == {(way.flags["tensor_parallel"], way.flags["kv_cache_dtype"]) for way in named}


def test_without_devices_there_is_no_plan() -> None:
    """And where the engine takes no way, it says why."""
    with pytest.raises(QuestionError, match="needs devices"):
        found("qwen3-32b")
    with pytest.raises((NoFitError, RefusedError)):
        found("qwen3-32b", device="2x H200", tensor_parallel=3)


def test_the_verb_prints_ways_and_the_first_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 0 where the users are carried, 1 where not; JSON has rows and the answer."""
    code = main(["plan", "qwen3-32b", "--engine", "vllm", "-q", "fp8", "-c", "16K", "-u", "4", "-d", "3x RTX 4090", "--json"])
    told = json.loads(capsys.readouterr().out)
    short = main(["plan", "qwen3-32b", "--engine", "vllm", "-c", "16K", "-u", "400", "-d", "2x RTX 4090"])

    assert (0, 1) == (code, short)
    assert told["rows"][0]["requests"] >= 4
    assert "vllm serve" in next(iter(told["answer"]["command"].values()))
