"""`tonnage transfer`: how long bytes take over links, side by side."""

from typing import Any

from tonnage.calculators.transfer import Transfer, links, parse_path, parse_size, transfer
from tonnage.errors import QuestionError
from tonnage.render.numbers import gb, gib, seconds, significant
from tonnage.verbs import Call
from tonnage.verbs.numbers import number
from tonnage.verbs.rows import Column, print_rows

COLUMNS = (
    Column("over", "over"),
    Column("typical_mb_s", "MB/s", lambda x: f"{x:,.0f}" if x >= 10 else significant(x), right=True),
    Column("efficiency", "of line", lambda share: f"{100 * share:.0f} %", right=True),
    Column("seconds", "takes", seconds, right=True),
    Column("least_seconds", "at best", seconds, right=True),
)
_USUAL = ("NVMe Gen4", "SATA SSD", "hdd", "USB 3.2 Gen 1", "Gigabit", "10 GbE", "Wi-Fi 6", "Cable/fibre 100 Mb/s", "Fibre 1 Gb/s")
_MOST_FILES = 10**9


def run(call: Call) -> int:
    """The size over each link or path; over common ones where none is named."""
    (size,) = call.words_between(1, 1)
    nbytes, files = parse_size(size), number(call, "files", 1.0)
    if not files.is_integer() or not 1 <= files <= _MOST_FILES:
        raise QuestionError(f"files={files:g}: must be a whole number of at least 1")
    paths = [parse_path(text) for text in call.all_of("over") or _USUAL]
    rows = [_row(transfer(nbytes, path, int(files))) for path in paths]
    asked = {"size": nbytes, "over": list(call.all_of("over")), "files": int(files)}
    return print_rows(call, COLUMNS, rows, {"question": asked}, _notes(nbytes, rows))


def _row(done: Transfer) -> dict[str, Any]:
    slowest = done.bottleneck
    return {
        "over": done.name,
        "bytes": done.nbytes,
        "seconds": done.seconds,
        "least_seconds": done.least_seconds,
        "bottleneck": slowest.name,
        "line_gbit_s": slowest.line_gbit_s,
        "line_mb_s": slowest.line_mb_s,
        "typical_mb_s": slowest.typical_mb_s,
        "efficiency": slowest.efficiency,
    }


def _notes(nbytes: int, rows: list[dict[str, Any]]) -> list[str]:
    notes = [f"{gb(nbytes)} GB (10^9) are {gib(nbytes)} GiB (2^30); rates are decimal."]
    notes += [f"{row['over']}: as fast as {row['bottleneck']}." for row in rows if row["bottleneck"] != row["over"]]
    if any(row["bottleneck"] in links() for row in rows):
        notes.append("takes: at the rate that copies reach, a planning figure; at best: at the line's own rate after encoding.")
    return notes
