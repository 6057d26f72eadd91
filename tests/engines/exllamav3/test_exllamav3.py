"""ExLlamaV3: weights by bits, a cache in pages, and ten public peaks."""

import json
from pathlib import Path

import pytest

import tonnage
from tonnage.errors import QuestionError, RefusedError, UnsupportedError

ROWS = [
    row
    for row in json.loads((Path(__file__).parent.parent.parent / "data/engine-logs.json").read_text(encoding="utf-8"))["rows"]
    if row["engine"] == "exllamav3"
]


def ask(model="qwen3.6-27b", **keys):
    """An estimate of ExLlamaV3."""
    return tonnage.estimate(model, engine="exllamav3", **keys)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_public_peaks_lie_in_the_band(row):
    """Within what was seen besides weights and cache, and a MiB of rounding."""
    gpu = ask(**row["asked"]).devices[0]
    off = row["measured"]["peak_mib"] * 2**20 - gpu.total_bytes

    assert gpu.error.low - 2**21 <= off <= gpu.error.high + 2**21


def test_a_cache_is_allocated_in_pages_of_256():
    """16 layers of 4 heads, keys and values of 256, at 8.5 bits."""
    kv = next(part.bytes for part in ask(context=1000, kv_cache_dtype="8").devices[0].parts if part.part == "kv")

    assert 16 * 4 * 512 * 1024 * 8.5 / 8 == kv


REFUSED = [
    ({"quant": "awq"}, UnsupportedError, "exl3-4.0bpw"),
    ({"kv_cache_dtype": "fp8"}, QuestionError, "2 to 8"),
    ({"device": "m4 max 64"}, RefusedError, "CUDA"),
    ({"device": "2x 24GB"}, UnsupportedError, "several devices"),
]


@pytest.mark.parametrize(("keys", "kind", "words"), REFUSED, ids=str)
def test_what_cannot_be_is_one_clear_line(keys, kind, words):
    """Value, reason and what to take instead."""
    with pytest.raises(kind, match=words):
        ask(**keys)


@pytest.mark.parametrize("part", ["weights", "kv", "state", "runtime"])
def test_every_part_is_explained(part):
    """Rule, numbers and source."""
    assert "ExLlamaV3" in tonnage.explain(part, "qwen3.6-27b", engine="exllamav3").source
