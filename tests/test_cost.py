"""What a machine's tokens cost."""

import pytest

from tonnage.cost import as_dict, cost_of, watts_of
from tonnage.errors import QuestionError
from tonnage.hardware.devices import find
from tonnage.question import Question
from tonnage.speed.answer import Speed
from tonnage.speed.token import Range
from tonnage.work import Work

WORK = Work((), 0, 1.0, (), False, 512, 10**9, True, True)
SPEED = Speed(WORK, (), Range(20, 30, 40), Range(100, 300, 900), None, Range(1, 2, 3), Range(1, 2, 3), 512, ())
CARD = find("memory=24GB,bandwidth=900,watts=350")


def asked(**keys):
    """A question with keys of cost."""
    return Question(model="a", **keys)


def test_electricity_of_a_million_tokens():
    """350 W at 30 tokens a second and 0.30 a kilowatt-hour: 0.97 per million; slower is dearer."""
    cost = cost_of(asked(price=0.30, host_watts=0, psu=1), SPEED, CARD)

    assert 0.97 == round(cost.output.likely, 2)
    assert cost.output.low < cost.output.likely < cost.output.high
    assert (cost.output.likely / 10, 350) == (pytest.approx(cost.input.likely), cost.wall_watts)
    assert 0.35 * 8 * 0.30 == pytest.approx(cost.per_day)
    assert cost.per_day * 365 / 12 == pytest.approx(cost.per_month)


def test_power_supply_idle_hours_and_the_rest_of_the_machine_count():
    """Load and idle hours of a day, through the power supply."""
    keys = {"price": 1.0, "host_watts": 50, "idle_watts": 10, "hours": 4, "psu": 0.8}

    assert (400 * 4 + 10 * 20) / 0.8 / 1000 == pytest.approx(cost_of(asked(**keys), SPEED, CARD).per_day)


def test_rent_takes_the_place_of_electricity():
    """0.79 an hour at 30 tokens a second are 7.31 per million; a million prompt tokens are ten times cheaper."""
    cost = cost_of(asked(rent=0.79, hours=10), SPEED, ())

    assert (7.31, 7.9, None) == (round(cost.output.likely, 2), cost.per_day, cost.wall_watts)
    assert cost.output.likely / 10 == pytest.approx(cost.input.likely)


def test_break_even():
    """The day's cost over the price elsewhere: so many tokens must be generated."""
    cost = cost_of(asked(rent=1.0, hours=10, token_price=5.0), SPEED, ())

    assert 2_000_000 == pytest.approx(cost.break_even_tokens)
    assert 30 * 36000 == cost.tokens_per_day
    assert cost.break_even_tokens == as_dict(cost)["break_even_tokens_per_day"]
    assert cost_of(asked(rent=1.0), SPEED, ()).break_even_tokens is None


def test_countries_bring_their_currency():
    """A country's price is told with its date; without any the world's average is taken and named."""
    german, world = (cost_of(asked(**keys), SPEED, CARD) for keys in ({"country": "DE"}, {}))

    assert ("EUR", "Germany, 2025-H1") == (german.currency, german.basis)
    assert ("USD", "World average, 2025-06") == (world.currency, world.basis)


@pytest.mark.parametrize(
    ("device", "keys", "watts"),
    [
        ("memory=24GB,watts=350", {}, 410),
        ("memory=24GB,watts=350", {"power_limit": 250.0}, 310),
        ("memory=24GB,watts=350", {"power_limit": 900.0}, 410),
        ("2x memory=24GB,watts=350", {"host_watts": 0.0}, 700),
        ("DGX Spark", {}, 140),
        ("memory=24GB", {}, None),
        ("memory=24GB", {"power_limit": 300.0}, 360),
    ],
)
def test_watts_of_a_machine(device, keys, watts):
    """Each device at its limit, never above its rating; beside cards stands a machine, a unified one is all of it."""
    assert watts == watts_of(asked(**keys), find(device))


def test_unknown_power_is_not_guessed():
    """Without a rating there is no cost, and no limit of nothing."""
    assert cost_of(asked(), SPEED, find("24GB")) is None
    with pytest.raises(QuestionError, match="power_limit=0"):
        watts_of(asked(power_limit=0.0), CARD)
