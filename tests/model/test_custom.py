"""Models of bare numbers."""

import pytest

from tonnage.errors import QuestionError
from tonnage.estimation import estimate
from tonnage.model import catalogue, custom
from tonnage.question import from_dict


@pytest.mark.parametrize(
    ("numbers", "like"),
    [
        ("params=122.1e9,active=9.77e9,layers=48,full_layers=12,kv_heads=2,head_dim=256", "qwen3.5-122b-a10b"),
        ("params=8.03e9,layers=32,kv_heads=8,head_dim=128", "llama-3.1-8b-instruct"),
        ("params=70.55e9,layers=80,kv_heads=8,head_dim=128", "llama-3.3-70b-instruct"),
        ("params=30.5e9,active=3.3e9,layers=48,kv_heads=4,head_dim=128", "qwen3-30b-a3b"),
    ],
)
def test_weights_are_within_the_band_of_the_real_model(numbers: str, like: str) -> None:
    """A model's own size lies in the band of its bare numbers, and its cache is the same."""
    asked = {"quant": "Q4_K_M", "context": 32768, "slots": 1}
    guess = estimate(from_dict({"model": numbers, **asked}), custom.model(numbers))
    real = estimate(from_dict({"model": like, **asked}), catalogue.model(like))
    parts = {part.part: part for part in guess.devices[0].parts}
    truth = {part.part: part.bytes for part in real.devices[0].parts}
    band = parts["weights"].error

    assert band is not None
    assert band.low <= truth["weights"] - parts["weights"].bytes <= band.high
    assert truth["kv"] == parts["kv"].bytes
    assert {"assumed"} == {part.basis for device in guess.devices for part in device.parts}


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ("params=8e9", "layers, kv_heads"),
        ("params=8e9,layrs=32,kv_heads=8", "layers"),
        ("params=abc,layers=32,kv_heads=8", "params='abc'"),
        ("params=nan,layers=32,kv_heads=8", "params='nan'"),
        ("params=1e99,layers=32,kv_heads=8", "1e14"),
        ("params=1e6,layers=32,kv_heads=8", "too few"),
        ("params=8e9,layers=9999,kv_heads=8", "512"),
    ],
)
def test_numbers_that_make_no_model_are_refused(numbers: str, words: str) -> None:
    """One line names the number and what to try."""
    with pytest.raises(QuestionError, match=words):
        custom.model(numbers)


def test_every_guess_is_said() -> None:
    """What was not given stands in the notes."""
    notes = " ".join(custom.model("params=8e9,layers=32,kv_heads=8").notes)

    assert [] == [key for key in ("head_dim", "vocab", "hidden", "heads", "context") if f"{key}=" not in notes]
