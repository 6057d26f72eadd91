"""The parts as comma-separated values: one row each, bytes as they are."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from tonnage.answer import Estimate
from tonnage.question import Question
from tonnage.render import Style

COLUMNS = ("device", "kind", "part", "held", "bytes", "basis", "error_low", "error_high", "why")


def render(question: Question, estimate: Estimate, style: Style) -> str:
    """A header, then one row per part."""
    return write(COLUMNS, rows(estimate))


def rows(estimate: Estimate) -> Iterable[tuple[Any, ...]]:
    """The parts, device by device; an exact part has an error of 0."""
    for device in estimate.devices:
        for part in device.parts:
            low, high = (part.error.low, part.error.high) if part.error else (0, 0)
            yield device.name, device.kind, part.part, part.held, part.bytes, part.basis, low, high, part.why


def write(columns: Sequence[str], table: Iterable[Sequence[Any]]) -> str:
    """A table with its header, without a newline at its end."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(table)
    return out.getvalue().rstrip("\n")
