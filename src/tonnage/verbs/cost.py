"""`tonnage cost`: what a model's tokens cost on a machine."""

from collections.abc import Iterator
from typing import Any

from tonnage.cost import Cost, as_dict
from tonnage.errors import QuestionError
from tonnage.estimation import engine_of, estimate
from tonnage.pace import Pace, pace_of
from tonnage.question import of_pairs, to_dict
from tonnage.render import numbers
from tonnage.source import open_question
from tonnage.speed.token import Range
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows


def _money(x: float | None) -> str:
    return "" if x is None else numbers.money(x)


COLUMNS = (
    Column("what", "cost of"),
    Column("low", "low", _money, right=True),
    Column("likely", "likely", _money, right=True),
    Column("high", "high", _money, right=True),
    Column("currency", ""),
)


def run(call: Call) -> int:
    """Amounts of a million tokens, a day and a month."""
    question, model, attached = open_question(of_pairs(pairs_of(call)), call.access)
    found = estimate(question, model, attached)
    pace = pace_of(question, model, found, engine_of(question), attached)
    if pace.cost is None:
        raise QuestionError("the power of the machine is not known: say --power-limit, --host-watts or --rent")
    rows = [*_rows(pace.cost)]
    head = {"question": {**found.question, **to_dict(question)}, "cost": as_dict(pace.cost)}
    return print_rows(call, COLUMNS, rows, head, [*_notes(pace, pace.cost)])


def _rows(cost: Cost) -> Iterator[dict[str, Any]]:
    def row(what: str, found: Range) -> dict[str, Any]:
        return {"what": what, **found._asdict(), "currency": cost.currency}

    yield row("a million tokens generated", cost.output)
    if cost.input:
        yield row("a million tokens of prompts", cost.input)
    yield row("a day", Range(*(cost.per_day,) * 3))
    yield row("a month", Range(*(cost.per_month,) * 3))


def _notes(pace: Pace, cost: Cost) -> Iterator[str]:
    wall = f"{cost.wall_watts:,.0f} W at the wall; " if cost.wall_watts is not None else ""
    together = pace.speed.together
    several = f"{together.users} requests" if together else "one request"
    rate = together.total.likely if together else pace.speed.decode.likely
    yield f"{wall}{cost.basis}; {several} at a time, {numbers.rough(rate)} tokens/s."
    if cost.break_even_tokens is not None and cost.token_price is not None:
        cheaper = "cheaper" if cost.tokens_per_day > cost.break_even_tokens else "dearer"
        yield (
            f"At {numbers.money(cost.token_price)} per million elsewhere a day pays off from {numbers.rough(cost.break_even_tokens)} tokens on; "
            f"it makes {numbers.rough(cost.tokens_per_day)} in its hours, so the machine is {cheaper}, its own price apart."
        )
    yield from pace.speed.notes
