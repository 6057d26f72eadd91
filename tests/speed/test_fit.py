"""The speed model against measured rows, each machine left out of the fit that predicts it."""

import json
import math
import statistics
import sys
from pathlib import Path

import pytest

from tonnage import data

ROOT = Path(__file__).parent.parent.parent
if not (ROOT / "scripts").exists():
    pytest.skip("the scripts are not beside the tests", allow_module_level=True)
sys.path.insert(0, str(ROOT / "scripts"))

import fit_engines as engines  # noqa: E402
import fit_speed as fit  # noqa: E402
import make_speed_accuracy as told  # noqa: E402

pytestmark = pytest.mark.slow


def sizes(found):
    """|ln(predicted / measured)| of guesses."""
    return [abs(guess.off) for guess in found]


@pytest.mark.slow
def test_decoding_of_unseen_machines():
    """Half of all rows lie within 0.10, nine of ten within 0.23; so do the groups of three machines or more alone."""
    everything = fit.unseen("decode")
    large = [guess for guess in everything if guess.row["group"] in fit.large("decode")]

    assert (201, 133) == (len(everything), len(large))
    for found in (everything, large):
        assert statistics.median(sizes(found)) <= 0.10
        assert fit.quantile(sizes(found), 0.9) <= 0.23


@pytest.mark.parametrize("rule", told.RULES)
def test_simpler_rules_are_worse(rule):
    """Bandwidth over the file, or over active bytes with one factor for all, are more than twice as far off."""
    off = [abs(math.log(told.RULES[rule](row) / row["tokens_per_s"])) for row in fit.rows("decode")]

    assert 2 * statistics.median(sizes(fit.unseen("decode"))) < statistics.median(off)


def test_bands_hold_nine_rows_of_ten():
    """Of every band, and of prompts; no band is wider than a factor of 5."""
    found = fit.bands()
    for name, band in found["decode"].items():
        mine = [guess for guess in fit.unseen("decode") if fit.band_name(guess.row) == name]
        assert 0.9 * len(mine) <= told.inside(mine, band)
        assert band["low"] < 1 < band["high"] < 5 * band["low"]
    assert 0.9 * len(fit.unseen_prompts()) <= told.inside(fit.unseen_prompts(), found["prefill"]["all"])


def test_experts_in_ram():
    """The rows of offloaded experts have a median error of 0.2 at most."""
    constants = fit.constants_of(fit.DECODE, fit.rows("decode"), "cuda", small_too=True)
    off = [abs(math.log(1 / fit.offload_seconds(row, constants, 0.45) / row["tokens_per_s"])) for row in fit.offload_rows()]

    assert 4 == len(off)
    assert statistics.median(off) <= 0.2


def test_no_measured_row_is_impossible():
    """No row reads faster than its memory: such rows are faults of measurement."""
    for row in fit.rows("decode"):
        assert row["tokens_per_s"] * (row["bytes_read"] + row["kv_bytes_read"]) <= fit.bandwidth(row)


@pytest.mark.parametrize(("engine", "rows"), [("vllm", 18), ("sglang", 9), ("exllamav3", 10), ("mlx", 16)])
def test_bands_of_engines_hold_nine_rows_of_ten(engine, rows):
    """Rows are predicted without their machine, model or number of bits; few of them have a wide band."""
    guesses = engines.unseen(engine)
    band = engines.sure(fit.band_of(guesses))

    assert rows == len(guesses)
    assert 0.9 * rows <= told.inside(guesses, band)
    assert band["low"] <= 0.5 < 1.6 <= band["high"]


@pytest.mark.parametrize(("of", "rows"), [(("llama.cpp", "cuda-gb10"), 120), (("llama.cpp", "metal"), 90), (("vllm", ""), 15)])
def test_several_sequences_at_a_time(of, rows):
    """Half of the rows lie within 0.2 with their model left out, and nine of ten in the band."""
    guesses = engines.unseen_steps(*of)

    assert rows == len(guesses)
    assert statistics.median(sizes(guesses)) <= 0.2
    assert 0.9 * rows <= told.inside(guesses, engines.sure(fit.band_of(guesses)))


def test_no_measured_row_of_an_engine_is_impossible():
    """One sequence at a time reads no faster than the memory of all its ranks."""
    for row in engines.evidence():
        if row["users"] == 1 and row["metric"] == "decode":
            ranks = max(place.ranks for place in row["work"].places)
            assert row["tokens_per_s"] * row["work"].bytes <= ranks * row["bandwidth"]


def test_the_packaged_constants_are_not_stale():
    """data/speed.json is what scripts/fit_speed.py writes; no constant promises more than the full rate."""
    packaged = json.loads(data.read("speed.json"))

    assert fit.table() == packaged
    for group in packaged["groups"].values():
        weights, cache, dense, moe, two_dies = group["decode"]
        assert min(weights, cache, *group["prefill"]) >= 1
        assert min(dense, moe, two_dies) >= 0
