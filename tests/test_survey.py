"""One model over many devices: verdicts as `estimate` gives them, contexts near those that `solve` finds, remedies that fit."""

import re
import shlex

import pytest

import llama_cases
from tonnage.engines.llamacpp.plan.rungs import rungs
from tonnage.errors import NoFitError, QuestionError
from tonnage.estimation import estimate, judged, planned
from tonnage.hardware.budget import budget
from tonnage.hardware.devices import catalogue, describe, find_all
from tonnage.hardware.types import Device
from tonnage.model import catalogue as models
from tonnage.model.types import NOTHING, Model
from tonnage.question import Question, from_argv, from_dict, to_dict
from tonnage.solve import max_context
from tonnage.survey import Row, survey, survey_host

pytestmark = pytest.mark.slow

MODELS = ["qwen3.5-122b-a10b", "gemma3-27b", "gpt-oss-20b"]
DEVICES = find_all(
    ["RTX 4090", "RTX 3060 12GB", "H100 SXM 80GB", "A10", "RX 7900 XTX", "Apple M5 Max 128GB (40-core GPU)", "Apple M1 8GB (8-core GPU)"]
)


def asked(name: str, device: Device | None = None, **more: object) -> Question:
    """A question about one device, or about none."""
    return from_dict({"model": name, "context": 32_768, **({"device": [describe(device)]} if device else {}), **more})


def surveyed(name: str, model: Model) -> tuple[Row, ...]:
    """The rows of the devices above."""
    return survey(asked(name), model, DEVICES)


@pytest.mark.parametrize("name", MODELS)
def test_verdicts_are_those_of_an_estimate(name: str) -> None:
    """Sharing estimates among devices changes nothing, and where a plan has layers or experts in RAM it is told."""
    model = llama_cases.model(name)
    expected = [verdict.word if (verdict := planned(asked(name, device), model, others=False).verdict) else "" for device in DEVICES]

    assert expected == [row.verdict for row in surveyed(name, model)]


@pytest.mark.parametrize("name", MODELS)
def test_contexts_on_the_curve_are_near_the_exact_ones(name: str) -> None:
    """Never more than the largest that fits, and not below it by more than 2 % and the rounding to 1,024."""
    model = llama_cases.model(name)
    for row in surveyed(name, model):
        try:
            exact = int(max_context(asked(name, row.device, context=None), model).value)
        except NoFitError:
            exact = 0
        assert row.max_context <= exact <= max(row.max_context * 1.02, row.max_context) + 1024 + 256


@pytest.mark.parametrize(("name", "context"), [("qwen3-32b", 40_960), ("qwen3-30b-a3b-instruct-2507", 131_072)])
def test_remedies_fit(name: str, context: int) -> None:
    """Each that is proposed fits, and nothing is proposed where it fits already."""
    model = models.model(name)
    asked = {"model": name, "quant": "Q4_K_M", "context": context}
    rows = survey(from_dict(asked), model, DEVICES)

    assert {row.verdict for row in rows if row.remedy} <= {"too big", "spills", "offload", "tight"}
    told = [(row.device, re.sub(r" \(.*\)", "", option)) for row in rows if row.remedy for option in row.remedy.split(" or ")]
    assert told
    for device, option in told:
        given = to_dict(from_argv([name, *shlex.split(option)]))
        verdict = judged(from_dict({**asked, **given, "model": name, "device": [describe(device)]}), model).verdict
        assert verdict is not None
        assert verdict.word in ("fits", "tight")


@pytest.mark.parametrize("name", ["qwen3.5-122b-a10b", "gpt-oss-120b", "glm-4.5-air", "llama-3.3-70b-instruct", "gemma-3-27b-it"])
def test_rungs_are_never_less_than_what_is_needed(name: str) -> None:
    """By two walks and a sum: exact for most, more where few blocks are moved; host memory within a row's padding."""
    model = models.model(name)
    question = from_dict({"model": name, "quant": "Q4_K_M", "context": 32_768, "device": ["24GB"]})
    climbed = list(rungs(question, model, NOTHING))

    assert climbed
    for rung in climbed[:: max(len(climbed) // 12, 1)]:
        given = to_dict(from_argv([name, *shlex.split(rung.flag)]))
        gpu, host = judged(from_dict({**to_dict(question), **given}), model).devices
        need = gpu.total_bytes + (gpu.error.high if gpu.error else 0)
        held = sum(part.bytes for part in host.parts if part.held != "reserved")
        assert need <= rung.gpu <= need + 1.2 * 2**30
        assert abs(held - rung.host) <= 0.02 * held + 64 * 2**20


def test_on_unified_memory_nothing_is_moved_to_ram_that_is_not_there() -> None:
    """A Mac's experts in RAM lie in the same memory; on Strix Halo RAM is what its GPU may not take."""
    model = models.model("qwen3.5-122b-a10b")
    question = from_dict({"model": "qwen3.5-122b-a10b", "quant": "Q4_K_M", "context": 32_768})
    mac, halo, small = survey(question, model, find_all(["m4 max 64", "Ryzen AI Max+ 395 128GB", "Ryzen AI Max+ 395 64GB"]))

    assert ("too big", True, "too big") == (mac.verdict, "-ncmoe" in halo.remedy, small.verdict)
    assert "moe" not in mac.remedy + small.remedy


def test_host_memory_that_was_told_limits_what_moves_to_it() -> None:
    """A plan with 55 GiB in RAM is none where there are 32."""
    model = models.model("qwen3.5-122b-a10b")
    words = [
        survey(from_dict({"model": "qwen3.5-122b-a10b", "quant": "Q4_K_M", "context": 32_768, "ram": ram}), model, find_all(["RTX 4090"]))[0].verdict
        for ram in ("32GB", "96GB")
    ]

    assert ["too big", "offload"] == words


def test_a_row_has_the_best_quant_and_a_speed() -> None:
    """The recipe with the most bits that fits, and the rate that an estimate tells."""
    model = models.model("qwen3-8b")
    question = from_dict({"model": "qwen3-8b", "quant": "Q4_K_M", "context": 32_768})
    (row,) = survey(question, model, find_all(["RTX 3090"]))

    assert row.speed is not None
    told = estimate(from_dict({**to_dict(question), "device": ["RTX 3090"]}), model).speed
    assert told is not None
    assert told["decode_tokens_per_second"] == row.speed["decode_tokens_per_second"]
    assert "BF16" == row.best_quant


def test_the_cpus_row_is_the_hosts() -> None:
    """On a machine without a GPU one row tells all; without its memory there is none."""
    model = models.model("qwen3-8b")
    row = survey_host(from_dict({"model": "qwen3-8b", "quant": "Q4_K_M", "backend": "cpu", "ram": "32GB"}), model)

    assert ("host memory", "fits") == (row.device.name, row.verdict)
    with pytest.raises(QuestionError, match="--ram"):
        survey_host(from_dict({"model": "qwen3-8b", "backend": "cpu"}), model)


def test_every_device_with_a_memory_has_a_row() -> None:
    """Host memory systems, and graphics without a memory of their own, have none."""
    model = llama_cases.model("llama3.1-8b")
    expected = [device.name for device in catalogue() if device.kind != "host" and device.memory_bytes]

    assert expected == [row.device.name for row in survey(asked("llama3.1-8b"), model, catalogue())]


def test_usable_memory_is_that_of_the_catalogue() -> None:
    """What is known of a very device, CUDA's own total or GTT's default, is not lost on the way."""
    devices = find_all(["RTX 4090", "RTX 3090", "A10", "Ryzen AI Max+ 395 / Radeon 8060S 128GB", "DGX Spark / GB10"])
    expected = [budget(device).usable_bytes for device in devices]

    assert expected == [row.usable_bytes for row in survey(asked("llama3.1-8b"), llama_cases.model("llama3.1-8b"), devices)]
