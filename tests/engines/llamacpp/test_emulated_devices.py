"""Every family on several devices, with layers, experts or caches away from them, against the engine on emulated GPUs."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from model_files import header_model
from tonnage.engines.llamacpp.measured import predicted
from tonnage.model import catalogue
from tonnage.question import from_dict
from tonnage.units import MIB

_PATH = Path(__file__).parents[2] / "data/emulated-cases.json.gz"
CASES: list[dict[str, Any]] = json.loads(gzip.decompress(_PATH.read_bytes()))["cases"]


def title(case: dict[str, Any]) -> str:
    """The model, the devices, and what is asked away from the defaults."""
    settings = ",".join(f"{key}={value}" for key, value in case["question"].items() if key != "model")
    return f"{case['question']['model']}-{'+'.join(map(str, case['free_mib']))}-{settings}"


@pytest.mark.parametrize("case", CASES, ids=title)
def test_every_column_of_every_device_is_the_engines(case: dict[str, Any]) -> None:
    """Weights, context and compute in the whole MiB that llama-fit-params prints, the host's too."""
    devices = [f"cuda:{mib}MiB-free" for mib in case["free_mib"]]
    question = from_dict(case["question"] | {"profile": "tools", "device": devices})

    model = catalogue.model(question.model) if question.quant else header_model(question.model)
    ours = predicted(question, model, len(devices))

    assert list(case["mib"].values()) == [[nbytes // MIB for nbytes in row] for row in ours]


def test_the_cases_reach_every_family_and_every_way_to_place() -> None:
    """All headers, one to four devices, and each setting that moves something."""
    keys = {key for case in CASES for key in case["question"]}
    assert {1, 2, 3, 4} == {len(case["free_mib"]) for case in CASES}
    headers = {case["question"]["model"] for case in CASES if "quant" not in case["question"]}
    assert {file.name.partition(".gguf")[0] for file in (_PATH.parent / "gguf-headers").glob("*.head*")} == headers
    assert len({case["question"]["model"] for case in CASES}) >= 100
    assert {"gpu_layers", "n_cpu_moe", "cpu_moe", "override_tensor", "kv_offload", "slots", "flash_attn", "ubatch", "cache_type_k"} <= keys
