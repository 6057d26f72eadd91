"""What the verbs that turn a question round print: a table of what was found, and the estimate of the first."""

from collections.abc import Iterator, Sequence
from typing import Any

from tonnage.question import to_dict
from tonnage.render import numbers
from tonnage.render.headline import reserved_bytes
from tonnage.solve import Found
from tonnage.source import Opened
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows

Case = tuple[str, Found]
"""what was asked, and what was found for it"""


def print_found(call: Call, opened: Opened, asked: str, title: str, cases: Sequence[Case], notes: Sequence[str] = ()) -> int:
    """Print every case: what was asked, the value, how layers are shared out, what GPUs and host take with it, and what stops the next step.

    JSON has the first as `found`, `limit` and `answer`.
    """
    rows = [_row(name, found) for name, found in cases]
    split = [Column("split", "shared out", lambda split: split or "by itself")] if any(row["split"] for row in rows) else []
    columns = (Column("case", asked), Column("found", title, _shown, right=True), *split, *_COLUMNS)
    return print_rows(call, columns, rows, _head(call, opened, cases[0][1]), [*opened.attached.notes, *_by_itself(cases, title), *notes])


_COLUMNS = (
    Column("gpu_bytes", "GPU GiB", numbers.gib, right=True),
    Column("host_start_bytes", "RAM GiB", numbers.gib, right=True),
    Column("limit", "what stops the next step"),
)


def _by_itself(cases: Sequence[Case], title: str) -> Iterator[str]:
    """What the engine's own split would hold, where it holds less."""
    told = [
        f"{_shown(found.by_itself) if found.by_itself else 'none'}{f' ({name})' if len(cases) > 1 else ''}" for name, found in cases if found.split
    ]
    if told:
        yield f"llama.cpp's own split goes by free memory alone, and holds less: {title} {', '.join(told)}."


def everything_on(found: Found) -> str:
    """What placement a value stands for."""
    several = sum(device.kind != "host" for device in found.answer.devices) > 1
    return f"This is with everything on the GPU{'s' if several else ''}."


def _shown(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else value


def _row(name: str, found: Found) -> dict[str, Any]:
    later = sum(reserved_bytes(device) for device in found.answer.devices)
    return {
        "case": name,
        "found": found.value,
        "split": found.split,
        "by_itself": found.by_itself,
        "gpu_bytes": found.answer.gpu_bytes,
        "host_bytes": found.answer.host_bytes,
        "host_start_bytes": found.answer.host_bytes - later,
        "limit": found.limit,
    }


def _head(call: Call, opened: Opened, found: Found) -> dict[str, Any]:
    if call.format != "json":
        return {}
    from tonnage.render import json as form

    return {"question": to_dict(opened.question), "found": found.value, "limit": found.limit, "answer": form.answer(found.answer)}
