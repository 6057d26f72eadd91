"""`tonnage speed`: tokens per second at several depths, and what limits them."""

from collections.abc import Iterator
from typing import Any

from tonnage.estimation import engine_of, estimate
from tonnage.frozen import replace
from tonnage.pace import Pace, pace_of
from tonnage.question import Question, of_pairs, to_dict
from tonnage.render import numbers
from tonnage.source import open_question
from tonnage.speed.answer import Speed, as_dict
from tonnage.speed.batch import Together
from tonnage.speed.sources import EXPERTS_BAND, UNPROVEN
from tonnage.speed.token import DISK_BAND
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows

DEPTHS = (0, 8192, 32768, 131072, 262144)


def _rough(x: float | None) -> str:
    return "" if x is None else numbers.rough(x)


COLUMNS = (
    Column("depth", "depth", numbers.tokens, right=True),
    Column("low", "low", _rough, right=True),
    Column("likely", "tokens/s", _rough, right=True),
    Column("high", "high", _rough, right=True),
    Column("prompt_low", "low", _rough, right=True),
    Column("prompt_likely", "prompt/s", _rough, right=True),
    Column("prompt_high", "high", _rough, right=True),
    Column("first", "1st token", lambda x: "" if x is None else numbers.seconds(x), right=True),
    Column("bound", "bound by"),
)
TOGETHER = (
    *COLUMNS[:4],
    Column("prompt_likely", "prompt/s", _rough, right=True),
    Column("each", "each", _rough, right=True),
    Column("total_low", "low", _rough, right=True),
    Column("total", "together", _rough, right=True),
    Column("total_high", "high", _rough, right=True),
    COLUMNS[-1],
)
"""columns for several requests at a time"""

_BANDS = {
    EXPERTS_BAND: "experts on eight machines lie",
    UNPROVEN: "no runs of its kind with today's builds are known; it may lie",
    DISK_BAND: "to be taken",
}
"""what stands behind a band, where it is not of one group's measured runs"""


def run(call: Call) -> int:
    """The speeds at the depths that the context can hold, or at the one that is asked for."""
    question, model, attached = open_question(of_pairs(pairs_of(call)), call.access)
    found = estimate(replace(question, depth=None), model, attached)
    depths = _depths(question, int(found.question["context"]))
    paces = [pace_of(replace(question, depth=depth), model, found, engine_of(question), attached) for depth in depths]
    asked = {**found.question, **to_dict(question)}
    rows = [_row(pace.speed) for pace in paces]
    several = any(pace.speed.together for pace in paces)
    return print_rows(call, TOGETHER if several else COLUMNS, rows, {"question": asked}, [*_notes(paces)])


def _depths(question: Question, context: int) -> list[int]:
    if question.depth is not None:
        return [question.depth]
    return [depth for depth in DEPTHS if depth <= context - context // 16 or depth == 0] + ([context] if context not in DEPTHS[:1] else [])


def _row(speed: Speed) -> dict[str, Any]:
    prompt = speed.prefill
    most = max(speed.shares, key=lambda share: share.seconds)
    return {
        "low": speed.decode.low,
        "likely": speed.decode.likely,
        "high": speed.decode.high,
        "prompt_low": prompt.low if prompt else None,
        "prompt_likely": prompt.likely if prompt else None,
        "prompt_high": prompt.high if prompt else None,
        "first": speed.first_token.likely if speed.first_token else None,
        "bound": most.what,
        **_together(speed.together),
        **as_dict(speed),
    }


def _together(found: Together | None) -> dict[str, float | None]:
    each, total = (found.each.likely, found.total) if found else (None, (None, None, None))
    return {"each": each, "total_low": total[0], "total": total[1], "total_high": total[2]}


def _notes(paces: list[Pace]) -> Iterator[str]:
    speed = paces[0].speed
    yield f"Bound by {speed.bound_by} at depth {speed.work.depth:,}; {numbers.gb(speed.work.bytes)} GB are read for a token."
    for where, band in dict.fromkeys((share.where, share.band) for share in speed.shares):
        few = f"few runs of {speed.engine} are known; it may lie" if speed.engine else _BANDS.get(band)
        yield f"{where}: {few or 'nine of ten measured runs lie'} at {band.low:g} to {band.high:g} times this."
    if speed.prefill:
        low, likely, high = speed.prefill
        yield f"Prompts of {speed.prompt:,} tokens: known roughly, {low / likely:.2g} to {high / likely:.2g} times this."
    yield f"Ready {numbers.seconds(speed.load.likely)} after the start ({_span(speed.load)}); download {numbers.seconds(speed.download.likely)}."
    yield from speed.notes


def _span(found: tuple[float, float, float]) -> str:
    return f"{numbers.seconds(found[0])} to {numbers.seconds(found[2])}"
