"""What the verbs that turn a question round print: a table of what was found, and the estimate of the first."""

from collections.abc import Sequence
from typing import Any

from tonnage.question import to_dict
from tonnage.render import numbers
from tonnage.solve import Found
from tonnage.source import Opened
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows

Case = tuple[str, Found]
"""what was asked, and what was found for it"""


def print_found(call: Call, opened: Opened, asked: str, title: str, cases: Sequence[Case]) -> int:
    """Print every case: what was asked, the value, what the GPUs take with it, and what stops the next step.

    JSON has the first as `found`, `limit` and `answer`.
    """
    rows = [_row(name, found) for name, found in cases]
    columns = (Column("case", asked), Column("found", title, _shown, right=True), *_COLUMNS)
    return print_rows(call, columns, rows, _head(call, opened, cases[0][1]))


_COLUMNS = (Column("gpu_bytes", "GPU GiB", numbers.gib, right=True), Column("limit", "what stops the next step"))


def _shown(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _row(name: str, found: Found) -> dict[str, Any]:
    return {"case": name, "found": found.value, "gpu_bytes": found.answer.gpu_bytes, "host_bytes": found.answer.host_bytes, "limit": found.limit}


def _head(call: Call, opened: Opened, found: Found) -> dict[str, Any]:
    if call.format != "json":
        return {}
    from tonnage.render import json as form

    return {"question": to_dict(opened.question), "found": found.value, "limit": found.limit, "answer": form.answer(found.answer)}
