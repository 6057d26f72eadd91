"""What a machine's tokens cost: by its power and the price of electricity, or by its rent."""

from collections.abc import Sequence
from typing import Any

from tonnage.calculators.power import DAYS_A_MONTH, WORLD, Tariff, Use, check, per_million_tokens, tariff
from tonnage.errors import QuestionError
from tonnage.frozen import dataclass
from tonnage.hardware.types import Device
from tonnage.question import Question
from tonnage.speed.answer import Speed
from tonnage.speed.token import Range

HOURS = 8.0
HOST_WATTS = 60.0
"""of the rest of a machine beside its cards; the rating of a unified machine is that of all of it"""
PSU = 0.9
_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Cost:
    """Amounts are in `currency`, empty where the user typed a price alone."""

    currency: str
    output: Range
    """a million generated tokens: of all users together where there are several"""
    input: Range | None
    """a million prompt tokens; None where the speed of prompts is not known"""
    per_day: float
    tokens_per_day: float
    """generated in the day's hours, likely"""
    wall_watts: float | None
    """None for a rented machine"""
    basis: str
    """whose price, and of when"""
    token_price: float | None
    """of a million tokens elsewhere"""

    @property
    def per_month(self) -> float:
        """A twelfth of a year of such days."""
        return self.per_day * DAYS_A_MONTH

    @property
    def break_even_tokens(self) -> float | None:
        """Tokens a day from which on the machine is cheaper than the price elsewhere."""
        return self.per_day / self.token_price * 1e6 if self.token_price else None


def cost_of(question: Question, speed: Speed, devices: Sequence[Device]) -> Cost | None:
    """The cost of a question's speed; None where neither rent nor the devices' power is known."""
    if question.rent is not None:
        return _rented(question, speed, question.rent)
    watts = watts_of(question, devices)
    if watts is None:
        return None
    hours = HOURS if question.hours is None else question.hours
    use = check(Use(watts, hours, question.idle_watts or 0.0, PSU if question.psu is None else question.psu))
    at = _tariff(question)
    basis = f"{at.region}, {at.date}" if at.region else "price as given"

    def million(tokens_per_second: Range) -> Range:
        return Range(*(per_million_tokens(use.wall_watts, speed, at.price) for speed in reversed(tokens_per_second)))

    return _cost(question, speed, at.currency, million, use.kwh_per_day * at.price, hours, use.wall_watts, basis)


def _rented(question: Question, speed: Speed, rent: float) -> Cost:
    hours = HOURS if question.hours is None else question.hours
    check(Use(1, hours))

    def million(tokens_per_second: Range) -> Range:
        return Range(*(rent * 1e6 / (_SECONDS * speed) for speed in reversed(tokens_per_second)))

    return _cost(question, speed, "", million, rent * hours, hours, None, "rent as given")


def _cost(question: Question, speed: Speed, currency: str, million: Any, per_day: float, hours: float, watts: float | None, basis: str) -> Cost:
    rate = speed.together.total if speed.together else speed.decode
    return Cost(
        currency=currency,
        output=million(rate),
        input=million(speed.prefill) if speed.prefill else None,
        per_day=per_day,
        tokens_per_day=rate.likely * hours * _SECONDS,
        wall_watts=watts,
        basis=basis,
        token_price=question.token_price,
    )


def watts_of(question: Question, devices: Sequence[Device]) -> float | None:
    """What the machine draws under load: each device at its limit, and the rest of it; None where a rating is not known."""
    if question.power_limit == 0:
        raise QuestionError("power_limit=0: must be more than 0")
    if not devices:
        return question.host_watts
    ratings = [device.watts for device in devices]
    if None in ratings and question.power_limit is None:
        return None
    drawn = sum(min(question.power_limit or watts or 0, watts or question.power_limit or 0) for watts in ratings)
    unified = all(device.kind == "unified" for device in devices)
    rest = question.host_watts if question.host_watts is not None else 0.0 if unified else HOST_WATTS
    return float(drawn + rest)


def _tariff(question: Question) -> Tariff:
    return Tariff(question.price, "") if question.price is not None else tariff(question.country or WORLD)


def as_dict(cost: Cost) -> dict[str, Any]:
    """The cost as an answer holds it."""
    return {
        "currency": cost.currency,
        "per_million_output_tokens": cost.output._asdict(),
        "per_million_input_tokens": cost.input._asdict() if cost.input else None,
        "per_day": cost.per_day,
        "per_month": cost.per_month,
        "tokens_per_day": cost.tokens_per_day,
        "wall_watts": cost.wall_watts,
        "basis": cost.basis,
        "break_even_tokens_per_day": cost.break_even_tokens,
    }
