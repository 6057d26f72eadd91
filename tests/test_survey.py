"""One model over many devices: verdicts as `estimate` gives them, contexts near those that `solve` finds, remedies that fit."""

import shlex

import pytest

import llama_cases
from tonnage.errors import NoFitError
from tonnage.estimation import judged
from tonnage.hardware.devices import catalogue, describe, find_all
from tonnage.hardware.types import Device
from tonnage.model import catalogue as models
from tonnage.model.types import Model
from tonnage.question import Question, from_argv, from_dict, to_dict
from tonnage.solve import max_context
from tonnage.survey import Row, survey

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
    """Sharing estimates among devices changes nothing."""
    model = llama_cases.model(name)
    expected = [verdict.word if (verdict := judged(asked(name, device), model).verdict) else "" for device in DEVICES]

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

    assert {row.verdict for row in rows if row.remedy} <= {"too big", "spills"}
    told = [(row.device, option) for row in rows if row.remedy for option in row.remedy.split(" or ")]
    assert told
    for device, option in told:
        given = to_dict(from_argv([name, *shlex.split(option)]))
        verdict = judged(from_dict({**asked, **given, "model": name, "device": [describe(device)]}), model).verdict
        assert verdict is not None
        assert verdict.word in ("fits", "tight")


def test_every_device_with_a_memory_has_a_row() -> None:
    """Host memory systems, and graphics without a memory of their own, have none."""
    model = llama_cases.model("llama3.1-8b")
    expected = [device.name for device in catalogue() if device.kind != "host" and device.memory_bytes]

    assert expected == [row.device.name for row in survey(asked("llama3.1-8b"), model, catalogue())]
