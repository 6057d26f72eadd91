"""What stands beside an answer: equal to what the estimates say that it stands for."""

import pytest

from tonnage.estimation import judged
from tonnage.frozen import replace
from tonnage.glance import UNQUANTISED, glance, reaches, room
from tonnage.hardware.devices import find
from tonnage.model import catalogue
from tonnage.pages.listing import sizes
from tonnage.question import Question
from tonnage.survey import survey

pytestmark = pytest.mark.slow

MODELS = ("qwen3.5-122b-a10b", "llama-3.1-8b-instruct", "gemma-3-27b-it", "gpt-oss-20b", "deepseek-v3.1", "granite-4.0-h-tiny")


def asked(name: str, **given: object) -> Question:
    """A question about a built-in model."""
    return Question(**{"model": name, "quant": "Q4_K_M", "context": 16384, **given})


@pytest.mark.parametrize("name", MODELS)
def test_the_curve_is_what_estimates_say(name: str) -> None:
    """At every point that is drawn, to half a percent; exact at the context asked about."""
    model = catalogue.model(name)
    found = glance(asked(name), model)

    for point in found.curve:
        exact = judged(asked(name, context=point.tokens), model).gpu_bytes
        assert exact == pytest.approx(point.bytes, rel=0.005)


@pytest.mark.parametrize("quant", ["Q4_K_M", "BF16"])
@pytest.mark.parametrize("name", MODELS)
def test_recipes_are_what_estimates_say(name: str, quant: str) -> None:
    """The bytes on the GPU of every recipe, to the byte, whichever was asked about."""
    model = catalogue.model(name)
    rows = glance(asked(name, quant=quant), model, unquantised=True).recipes

    assert {row.name: row.gpu_bytes for row in rows} == {row.name: judged(asked(name, quant=row.name), model).gpu_bytes for row in rows}
    assert [row.tensor_bytes for row in rows] == sorted((row.tensor_bytes for row in rows), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [entry["name"] for entry in catalogue.index() if entry["architecture"]])
def test_quantised_recipes_differ_in_weights_alone(name: str) -> None:
    """In every built-in model all other parts on the GPU are the same in each of them."""
    model = catalogue.model(name)
    rests = set()
    for quant in ("Q8_0", "Q4_K_M", "IQ4_XS", "Q2_K"):
        answer = judged(asked(name, quant=quant, context=min(16384, model.context)), model)
        rests.add(tuple(part.bytes for part in answer.devices[0].parts if part.part != "weights"))

    assert 1 == len(rests)
    assert "Q8_0" not in UNQUANTISED


@pytest.mark.parametrize("name", MODELS)
def test_devices_are_judged_as_by_fit(name: str) -> None:
    """Verdict and bytes to spare of each row are those of `tonnage fit`; the smallest that fit, the nearest that do not.

    What `fit` calls an offload is too big for the device alone.
    """
    model = catalogue.model(name)
    found = glance(asked(name), model)
    rows = survey(asked(name), model, [fit.device for fit in (*found.fits, *found.short)])

    alone = [("too big" if row.verdict == "offload" else row.verdict, row.spare_bytes) for row in rows]
    assert alone == [(fit.verdict, fit.spare_bytes) for fit in (*found.fits, *found.short)]
    assert all(fit.spare_bytes >= 0 for fit in found.fits)
    assert all(fit.spare_bytes < 0 for fit in found.short)


@pytest.mark.parametrize("name", MODELS)
def test_the_context_that_a_device_holds_fits(name: str) -> None:
    """Asked at that context, the device has something to spare, to half a percent of the model."""
    model = catalogue.model(name)
    for fit in glance(asked(name), model).fits[:3]:
        at = asked(name, context=fit.max_context)
        (row,) = survey(at, model, [fit.device])
        assert row.spare_bytes >= -0.005 * row.needed_bytes


def test_a_curve_says_where_it_ends() -> None:
    """All of it is held, or so many tokens, or none."""
    curve = glance(asked("llama-3.1-8b-instruct"), catalogue.model("llama-3.1-8b-instruct")).curve

    assert reaches(curve, curve[-1].bytes) is None
    assert 0 == reaches(curve, curve[0].bytes - 1)
    assert 32768 == reaches(curve, next(point.bytes for point in curve if point.tokens == 32768))


@pytest.mark.parametrize("name", ["qwen3-0.6b", "llama-3.1-8b-instruct", "qwen3.5-122b-a10b", "gemma-3-4b-it"])
def test_the_table_of_sizes_is_fresh(name: str) -> None:
    """What scripts/make_sizes.py wrote is what the program answers."""
    model, row = catalogue.model(name), sizes()[name]

    for quant in ("Q8_0", "Q4_K_M"):
        assert row["rest"] + row["weights"][quant] == judged(asked(name, quant=quant, context=row["context"]), model).gpu_bytes


def test_the_table_of_sizes_has_every_model() -> None:
    """A row for each built-in model that has rules."""
    assert {entry["name"] for entry in catalogue.index() if entry["architecture"]} == sizes().keys()


def test_the_room_of_a_device_is_what_fits() -> None:
    """A model of as many bytes fits, whatever model asked."""
    (card,) = find("RTX 4090")
    small, large = catalogue.model("qwen3-0.6b"), catalogue.model("qwen3.6-27b")

    assert room(asked("qwen3-0.6b"), small, card) == room(asked("qwen3.6-27b"), large, card)
    held = room(asked("qwen3.6-27b"), large, card)
    assert (judged(replace(asked("qwen3.6-27b"), device=("RTX 4090",)), large).devices[0].free_bytes or 0) > 0
    assert held > judged(asked("qwen3.6-27b"), large).gpu_bytes
