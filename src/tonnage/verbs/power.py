"""`tonnage power`: what electricity costs, country by country."""

from typing import Any

from tonnage.calculators.power import DAYS_A_MONTH, DAYS_A_YEAR, WORLD, Tariff, Use, check, per_million_tokens, tariff
from tonnage.errors import QuestionError
from tonnage.question import collect
from tonnage.render.numbers import money, significant
from tonnage.verbs import Call
from tonnage.verbs.numbers import given
from tonnage.verbs.rows import Column, print_rows

_LONGEST = 24
TARIFF = (
    Column("region", "where", lambda name: name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"),
    Column("per_kwh", "a kWh"),
)
SPENT = (
    Column("kwh_per_day", "kWh/day", significant, right=True),
    Column("per_day", "day", money, right=True),
    Column("per_month", "month", money, right=True),
    Column("per_year", "year", money, right=True),
)
TOKENS = (
    Column("per_million_output_tokens", "M out", money, right=True),
    Column("per_million_input_tokens", "M in", money, right=True),
)


def run(call: Call) -> int:
    """The cost at each tariff; of a million tokens too where speeds are given."""
    call.words_between(0, 0)
    use = check(_use(call))
    speeds = {"per_million_output_tokens": given(call, "decode"), "per_million_input_tokens": given(call, "prefill")}
    if 0 in speeds.values():
        raise QuestionError("decode and prefill: must be more than 0 tokens per second")
    told = [column for column in TOKENS if speeds[column.key]]
    tariffs = _tariffs(call)
    rows = [_row(use, row, speeds) for row in tariffs]
    asked = {**{name: getattr(use, name) for name in Use.__slots__}, "decode": given(call, "decode"), "prefill": given(call, "prefill")}
    return print_rows(call, (*TARIFF, *(SPENT[1:] if told else SPENT), *told), rows, {"question": asked}, _notes(use, tariffs))


def _use(call: Call) -> Use:
    watts = given(call, "watts", "W")
    if watts is None:
        raise QuestionError(f"--watts is missing; usage: tonnage {call.verb.name} {call.verb.usage}")
    keys = collect((name, value) for name, value in call.pairs if name != "country")
    return Use(watts, keys.get("hours", 24.0), keys.get("idle_watts", 0.0), keys.get("psu", 1.0))


def _tariffs(call: Call) -> list[Tariff]:
    """A price as typed, else each country's, else the world's."""
    prices = [value for name, value in call.pairs if name == "price"]
    countries = [str(value) for name, value in call.pairs if name == "country"]
    kind = str(call.face.get("tariff", "household"))
    if prices and not countries:
        return [Tariff(collect([("price", prices[0])])["price"], str(call.face.get("currency", "")))]
    if prices:
        raise QuestionError("give a price or countries, not both")
    return [tariff(country, kind) for country in countries or [WORLD]]


def _row(use: Use, at: Tariff, speeds: dict[str, float | None]) -> dict[str, Any]:
    per_day = use.kwh_per_day * at.price
    tokens = {key: per_million_tokens(use.wall_watts, speed, at.price) if speed else None for key, speed in speeds.items()}
    row = {"region": at.region or "price as given", "price": at.price, "currency": at.currency, "date": at.date, "source": at.source}
    row |= {"per_kwh": f"{at.price:g} {at.currency}".strip(), "kwh_per_day": use.kwh_per_day, "wall_watts": use.wall_watts, "per_day": per_day}
    return {**row, "per_month": per_day * DAYS_A_MONTH, "per_year": per_day * DAYS_A_YEAR, **tokens, "weak": at.weak}


def _notes(use: Use, tariffs: list[Tariff]) -> list[str]:
    rest = f", {use.idle_watts:g} W for the rest" if use.idle_watts else ""
    wall = f"; {use.wall_watts:,.0f} W at the wall (efficiency {use.psu:g})" if use.psu < 1 else ""
    notes = [f"{use.watts:,.0f} W for {use.hours:g} h a day{rest}{wall}."]
    for row in (row for row in tariffs if row.region):
        doubt = "; check it before you rely on it" if row.weak else ""
        notes.append(f"{row.region}: {row.kind} price of {row.date}, {row.source}{doubt}.")
    return notes
