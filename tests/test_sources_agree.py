"""One model, four sources: built-in row, config.json, safetensors headers and GGUF header lead to one estimate."""

from typing import Any

import pytest

from gguf_writer import write
from safetensors_writer import checkpoint
from tonnage.answer import Estimate
from tonnage.estimation import estimate
from tonnage.model import build, catalogue, gguf
from tonnage.model.stored import from_safetensors
from tonnage.model.types import Model
from tonnage.question import Question

MODELS = (
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct",
    "Qwen/Qwen3-0.6B",
    "Qwen/Qwen3-30B-A3B",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "Qwen/Qwen3.5-122B-A10B",
    "google/gemma-3-27b-it",
    "google/gemma-3n-E4B-it",
    "openai/gpt-oss-20b",
    "deepseek-ai/DeepSeek-V3",
    "zai-org/GLM-4.5-Air",
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "LiquidAI/LFM2-8B-A1B",
    "ibm-granite/granite-4.2-8b",
    "moonshotai/Kimi-Linear-48B-A3B-Instruct",
)
STACKED_FROM = 1000
"""matrices beyond which experts are written as one array, to keep the tests fast"""


def by_config(row: catalogue.Row) -> Model:
    """What config.json alone tells."""
    return build.from_config(row["config"], row["hf_id"], "config.json", upload=row.get("upload"))


def by_safetensors(row: catalogue.Row, model: Model) -> Model:
    """config.json as published, the headers telling all else; BF16 throughout."""
    config = {key: value for key, value in row["config"].items() if key != "quantization_config"}
    return from_safetensors(config, checkpoint(model, stacked=model.parameters.experts > 0), row["hf_id"], "safetensors")


def by_gguf(model: Model) -> Model:
    """The header of the file that the converter would write."""
    metadata = {f"{model.architecture}.{key}": value for key, value in model.hparams.items()}
    header = gguf.parse(write({"general.architecture": model.architecture, **metadata}, model.tensors))
    return build.from_header(header.metadata, header.tensors, model.name, "gguf")


def facts(answer: Estimate) -> dict[str, Any]:
    """What must not depend on the source."""
    return {
        "weights": answer.weights.tensor_bytes,
        "devices": [[(part.part, part.bytes) for part in device.parts] for device in answer.devices],
        "caches": answer.caches,
    }


@pytest.mark.parametrize("name", MODELS)
def test_all_sources_give_one_estimate(name: str) -> None:
    """Weights, cache and buffers are the same to the byte, whatever the model was read from."""
    row, preset = catalogue.row(name), catalogue.model(name)
    question = Question(model=name, quant="Q4_K_M", context=32768, device=("80GB",))
    sources = {"preset": preset, "config": by_config(row), "safetensors": by_safetensors(row, preset), "gguf": by_gguf(preset)}
    if any(tensor.type == "mxfp4" for tensor in preset.tensors):
        del sources["safetensors"]  # the made-up checkpoint is BF16, this one is published packed
    answers = {source: facts(estimate(question, model)) for source, model in sources.items()}

    assert dict.fromkeys(answers, answers["preset"]) == answers


@pytest.mark.parametrize("name", MODELS)
def test_files_give_the_published_parameters(name: str) -> None:
    """Totals, vision and multi-token prediction are counted from the headers, and no note says otherwise."""
    row, preset = catalogue.row(name), catalogue.model(name)
    found = by_safetensors(row, preset)

    assert preset.parameters == found.parameters
    assert [] == [note for note in found.notes if "the files count" in note]
