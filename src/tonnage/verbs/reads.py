"""`tonnage reads`: where each token's bytes come from; without a model, how far each level of memory is away."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tonnage.calculators.reads import Level, Share, levels, shares_of
from tonnage.calculators.transfer import parse_size
from tonnage.errors import QuestionError
from tonnage.estimation import engine_of, estimate
from tonnage.pace import pace_of
from tonnage.question import of_pairs, to_dict
from tonnage.render import numbers
from tonnage.source import open_question
from tonnage.speed.answer import Speed
from tonnage.speed.token import Share as Taken
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows
from tonnage.verbs.terminal import style_of

_BAR = 10
_LONGEST = 20
_SIZE = "1MB"
LEVELS = (
    Column("level", "level"),
    Column("latency_ns", "latency", lambda ns: numbers.seconds(ns * 1e-9), right=True),
    Column("read_ns", "read", lambda ns: numbers.seconds(ns * 1e-9), right=True),
    Column("read_human_s", "1 ns = 1 s", numbers.seconds, right=True),
)
SHARES = (
    Column("where", "where", lambda name: name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"),
    Column("what", "what"),
    Column("bytes", "MB", lambda nbytes: f"{nbytes / 1e6:,.1f}" if nbytes else "", right=True),
    Column("share_of_bytes", "bytes", lambda share: f"{100 * share:.0f} %" if share else "", right=True),
    Column("milliseconds", "ms", numbers.significant, right=True),
    Column("share_of_time", "time", lambda share: f"{100 * share:.0f} %", right=True),
)
_SCALE = Column("share_of_time", "", lambda share: "█" * round(_BAR * share))


def run(call: Call) -> int:
    """The reads of a model's token, or the levels."""
    if not call.words and not any(name == "model" for name, _ in call.pairs):
        return _levels(call)
    question, model, attached = open_question(of_pairs(pairs_of(call)), call.access)
    found = estimate(question, model, attached)
    speed = pace_of(question, model, found, engine_of(question), attached).speed
    rows = [_share(*row) for row in shares_of(_together(speed))]
    columns = (*SHARES, _SCALE) if style_of(call).bars and call.format == "table" else SHARES
    return print_rows(call, columns, rows, {"question": {**found.question, **to_dict(question)}, "bound_by": speed.bound_by}, [*_notes(speed)])


def _together(speed: Speed) -> tuple[Share, ...]:
    """Shares of cards of a kind as one."""
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0])
    for share in _shares(speed):
        one = found[share.where, share.what]
        one[0] += share.nbytes
        one[1] += share.seconds
    return tuple(Share(where, what, int(nbytes), seconds) for (where, what), (nbytes, seconds) in found.items())


def _shares(speed: Speed) -> tuple[Taken, ...]:
    return speed.together.shares if speed.together else speed.shares


def _share(share: Share, of_bytes: float, of_time: float) -> dict[str, Any]:
    row = {"where": share.where, "what": share.what, "bytes": share.nbytes, "milliseconds": 1000 * share.seconds}
    return {**row, "share_of_bytes": of_bytes, "share_of_time": of_time}


def _notes(speed: Speed) -> Iterator[str]:
    seconds = sum(share.seconds for share in _shares(speed))
    what = "A round of speculation" if speed.work.draft else "A token"
    what = f"A step of {speed.together.users}" if speed.together else what
    yield f"{what}: {numbers.seconds(seconds)}, likely; bound by {speed.bound_by}. At 1 ns = 1 s it would take {numbers.seconds(seconds * 1e9)}."
    yield from speed.notes


def _levels(call: Call) -> int:
    if call.pairs:
        raise QuestionError(f"usage: tonnage {call.verb.name} {call.verb.usage}")
    nbytes = parse_size(str(call.face.get("size", _SIZE)))
    rows = [_level(level, nbytes) for level in levels()]
    note = f"read: {numbers.gb(nbytes, 3)} GB at once. Rows without a measurement are planning figures; --json tells which."
    return print_rows(call, LEVELS, rows, {"question": {"size": nbytes}}, [note])


def _level(level: Level, nbytes: int) -> dict[str, Any]:
    read = level.read_ns(nbytes)
    row = {"level": level.name, "latency_ns": level.latency_ns, "gb_s": level.gb_s, "read_ns": read, "source": level.source}
    return {**row, "latency_human_s": level.latency_ns, "read_human_s": read}
