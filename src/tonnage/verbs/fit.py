"""`tonnage fit`: every device of the catalogue, and whether the model fits it."""

from typing import Any

from tonnage.errors import QuestionError
from tonnage.frozen import replace
from tonnage.hardware.devices import catalogue, find_all, search
from tonnage.hardware.types import Device
from tonnage.question import of_pairs, to_dict
from tonnage.render import numbers
from tonnage.source import open_question
from tonnage.survey import Row, survey
from tonnage.units import GIB
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows

COLUMNS = (
    Column("device", "device"),
    Column("usable_bytes", "usable GiB", numbers.gib, right=True),
    Column("verdict", "verdict"),
    Column("margin_bytes", "spare GiB", lambda nbytes: f"{nbytes / GIB:.2f}", right=True),
    Column("max_context", "context to", lambda tokens: f"{tokens // 1024}K" if tokens >= 1024 else str(tokens or "-"), right=True),
    Column("remedy", "fits with"),
)


def run(call: Call) -> int:
    """List the devices from the largest spare memory down; exit 1 where none holds the model."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    question = opened.question
    devices = find_all(question.device) if question.device else _matching(str(call.face.get("match") or ""))
    if not devices:
        raise QuestionError(f"no device of the catalogue has {call.face.get('match')!r} in its name: `tonnage devices` lists them")
    rows = survey(replace(question, device=None), opened.model, devices, opened.attached)
    shown = [_shown(row) for row in sorted(rows, key=lambda row: (-row.usable_bytes, row.device.name))]
    print_rows(call, COLUMNS, shown, {"question": to_dict(question)})
    return int(not any(row["verdict"] in ("fits", "tight") for row in shown))


def _matching(words: str) -> tuple[Device, ...]:
    """Devices that answer to the words, or else have them in their name."""
    return search(words) or tuple(device for device in catalogue() if words.lower() in device.name.lower())


def _shown(row: Row) -> dict[str, Any]:
    return {
        "device": row.device.name,
        "kind": row.device.kind,
        "usable_bytes": row.usable_bytes,
        "needed_bytes": row.needed_bytes,
        "verdict": row.verdict,
        "margin_bytes": row.spare_bytes,
        "max_context": row.max_context,
        "remedy": row.remedy,
    }
