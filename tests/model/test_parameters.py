"""Parameter counts against the published ones, for every built-in model."""

import json
from pathlib import Path

import pytest

from tonnage.model import catalogue, parameters
from tonnage.model.types import Attention, Dense, Experts, Layer, Tensor

EXCEPTIONS = json.loads((Path(__file__).parents[1] / "data/parameter_exceptions.json").read_text())
NAMES = [row["name"] for row in catalogue.index() if row["architecture"]]
FIELDS = {"total": "hf_total", "text": "text", "active": "active_text", "experts": "routed_experts", "embedding": "embedding"}


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_the_published_ones(name: str) -> None:
    """Each count equals the published one to the element, but for the exceptions, whose differences are known."""
    row = catalogue.row(name)
    counted = catalogue.model(name).parameters
    published = {ours: row["params"].get(theirs) for ours, theirs in FIELDS.items()}
    differences = {ours: getattr(counted, ours) - n for ours, n in published.items() if n is not None and getattr(counted, ours) != n}

    assert EXCEPTIONS.get(row["hf_id"], {"differences": {}})["differences"] == differences


def test_every_exception_has_a_reason_and_a_model() -> None:
    """No difference is left unexplained, and none is kept for a model that is gone."""
    known = {row["hf_id"] for row in catalogue.index()}

    assert all(exception["reason"] and exception["differences"] for exception in EXCEPTIONS.values())
    assert set() == set(EXCEPTIONS) - known


LAYERS = (Layer((Attention(2, 1, 8, 8),), Dense(32)), Layer((Attention(2, 1, 8, 8),), Experts(8, 2, 4)), Layer((), None, nextn=True))
TABLE = (
    Tensor("token_embd.weight", (10, 100), "bf16"),
    Tensor("output.weight", (10, 100), "bf16"),
    Tensor("rope_freqs.weight", (5,), "f32"),
    Tensor("blk.0.ffn_up.weight", (10, 32), "bf16"),
    Tensor("blk.1.ffn_up_exps.weight", (10, 4, 8), "bf16"),
    Tensor("blk.1.exp_probs_b.bias", (8,), "f32"),
    Tensor("blk.2.nextn.eh_proj.weight", (20, 10), "bf16"),
)


def test_a_token_runs_through_the_experts_that_it_uses() -> None:
    """2 of 8 experts are active, and a quarter of their 320 parameters."""
    counted = parameters.count(TABLE, LAYERS)

    assert (320, 2640 - 240) == (counted.experts, counted.active)


def test_text_leaves_out_buffers_mtp_and_what_the_converter_adds() -> None:
    """Text are embedding, head and blocks; total counts the router's bias and the MTP block besides."""
    counted = parameters.count(TABLE, LAYERS)

    assert (2640, 200, 2640 + 8 + 200) == (counted.text, counted.mtp, counted.total)


def test_a_tied_head_counts_once() -> None:
    """A head that repeats the embedding is stored, but is no parameter of its own."""
    assert 1000 == parameters.count(TABLE, LAYERS).text - parameters.count(TABLE, LAYERS, tied=True).text


def test_published_parts_that_no_table_holds_are_added() -> None:
    """A GGUF has no vision tower; an MTP block that was left out is counted as published."""
    counted = parameters.count(TABLE[:-1], LAYERS[:-1], vision=7, mtp=11)

    assert (7, 11, 2640 + 8 + 7 + 11) == (counted.vision, counted.mtp, counted.total)
