"""Fine-tuning's formulas against what PyTorch kept on a CPU."""

import json
from pathlib import Path

import pytest

from tonnage.engines.transformers import training
from tonnage.engines.transformers.training import Plan
from tonnage.model import build

DATA = json.loads((Path(__file__).parents[2] / "data/training.json").read_text(encoding="utf-8"))
MODELS = {name: build.from_config(config, name, name) for name, config in DATA["models"].items()}


def plan(row, **keys):
    """Full training of one sequence."""
    asked = {"optimizer": "adamw", "sequence": 1, "checkpointing": False, **keys}
    return Plan(kind="full", rank=0, batch=1, shard="none", devices=1, dtype=row["dtype"], **asked)


def called(row):
    """The row's settings."""
    return " ".join(str(value) for value in list(row.values())[:4])


@pytest.mark.parametrize("row", DATA["saved"], ids=called)
def test_what_autograd_keeps_is_known_to_a_hundred_bytes(row):
    """Blocks with and without checkpointing; PyTorch adds a few scalars of the loss, and counters of SDPA."""
    kept = training.kept_bytes(MODELS[row["model"]], plan(row, sequence=row["tokens"], checkpointing=row["checkpointing"]))

    assert abs(row["saved_bytes"] - kept) <= 100


@pytest.mark.parametrize("row", DATA["states"], ids=called)
def test_weights_gradients_and_states_are_exact(row):
    """Bytes of every parameter, its gradient and its states."""
    asked, model = plan(row, optimizer=row["optimizer"]), MODELS[row["model"]]
    trained, width = training.trained_weights(model, asked), training.TRAINED_IN[row["dtype"]]

    assert row["weights"] == training.weights_bytes(model, None, asked)
    assert row["gradients"] == width * trained
    assert row["optimizer_bytes"] == training.optimizer_bytes(asked, trained, width)
