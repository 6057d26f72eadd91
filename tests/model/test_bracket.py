"""A bracket around models whose architecture has no rules; only where it is asked for, and marked as one."""

import json
from pathlib import Path

import pytest

import tonnage
from tonnage.answer import Part
from tonnage.errors import UnsupportedError
from tonnage.model import catalogue

UNKNOWN = [row["hf_id"] for row in catalogue.index() if row["architecture"] is None]


def part(model: str, name: str) -> Part:
    """A part on the GPU, at 32,768 tokens."""
    answer = tonnage.estimate(model, context=32_768, slots=1, quant="Q4_K_M", approximate=True)
    return next(p for p in answer.devices[0].parts if p.part == name)


def test_there_are_models_without_rules() -> None:
    """What the tests below go through."""
    assert len(UNKNOWN) >= 5


@pytest.mark.parametrize("model", UNKNOWN)
def test_unknown_architectures_are_refused_unless_a_bracket_is_asked_for(model: str) -> None:
    """No silent guess; a bracket has the basis `assumed` and a band."""
    with pytest.raises(UnsupportedError):
        tonnage.estimate(model)

    weights = part(model, "weights")
    assert ("assumed", True) == (weights.basis, weights.error is not None)


def test_what_the_config_names_is_the_least() -> None:
    """Kolibri 1: ten layers of 4 x 128 keys and values, forty with a window of 513 and one ubatch, at most fifty full ones."""
    row, cells = 2 * 4 * 128 * 2, 1280
    kv = part("Aleph-Alpha/Kolibri-1", "kv")

    assert row * (10 * 32_768 + 40 * cells) == kv.bytes
    assert kv.error is not None
    assert (0, row * 50 * 32_768) == (kv.error.low, kv.bytes + kv.error.high)


def test_where_a_config_speaks_of_compression_nothing_is_the_least() -> None:
    """DeepSeek V4.1 keeps an unknown part of its keys."""
    kv = part("deepseek-ai/DeepSeek-V4.1-Flash", "kv")

    assert kv.error is not None
    assert 0 == kv.bytes + kv.error.low


def test_a_config_on_disk_can_be_bracketed(tmp_path: Path) -> None:
    """Layers, width, heads and vocabulary are enough; without them it is refused."""
    shape = {"num_hidden_layers": 4, "hidden_size": 1024, "num_attention_heads": 8, "vocab_size": 32_000, "intermediate_size": 4096}
    config = {"model_type": "brandnew", **shape}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "less.json").write_text(json.dumps({"model_type": "brandnew", "hidden_size": 1024}))

    assert "assumed" == tonnage.estimate(str(tmp_path / "config.json"), approximate=True).model.basis
    with pytest.raises(UnsupportedError):
        tonnage.estimate(str(tmp_path / "less.json"), approximate=True)
