"""`tonnage fit`: every device of the catalogue, and whether the model fits it."""

from typing import Any

from tonnage.errors import QuestionError
from tonnage.frozen import replace
from tonnage.hardware.devices import catalogue, find_all, search
from tonnage.hardware.types import Device
from tonnage.machine import own_rows
from tonnage.question import of_pairs, to_dict
from tonnage.render import numbers
from tonnage.source import Opened, open_question
from tonnage.survey import Row, survey, survey_host
from tonnage.units import GIB
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows

RUNS = ("fits", "tight", "offload")


COLUMNS = (
    Column("device", "device"),
    Column("usable_bytes", "usable GiB", numbers.gib, right=True, narrow=False),
    Column("verdict", "verdict"),
    Column("margin_bytes", "spare GiB", lambda nbytes: f"{nbytes / GIB:.2f}", right=True),
    Column("max_context", "context to", lambda tokens: f"{tokens // 1024}K" if tokens >= 1024 else str(tokens or "-"), right=True),
    Column("best_quant", "quant to", lambda name: name or "-", narrow=False),
    Column("tokens_per_second", "tokens/s", lambda rate: "" if rate is None else numbers.rough(rate), right=True),
    Column("remedy", "fits with"),
)


def run(call: Call) -> int:
    """List the devices from the largest spare memory down; exit 1 where none holds the model."""
    asked = of_pairs(pairs_of(call))
    opened = open_question(asked, call.access)
    rows = sorted(_rows(call, opened, asked.device_file), key=lambda row: (-row.usable_bytes, row.device.name))
    shown = [_shown(row) for row in rows]
    print_rows(call, COLUMNS, shown, {"question": to_dict(opened.question)}, opened.attached.notes)
    return int(not any(row["verdict"] in RUNS for row in shown))


def _rows(call: Call, opened: Opened, device_file: str | None) -> tuple[Row, ...]:
    """Of the devices that were named, else of the host where the CPU computes, else of the user's own devices and the catalogue."""
    question = opened.question
    if not question.device and question.backend == "cpu":
        return (survey_host(question, opened.model, opened.attached),)
    words = str(call.face.get("match") or "")
    devices = find_all(question.device) if question.device else (*_own(call, device_file, words), *_matching(words))
    if not devices:
        raise QuestionError(f"no device of the catalogue has {words!r} in its name: `tonnage devices` lists them")
    return survey(replace(question, device=None), opened.model, devices, opened.attached)


def _own(call: Call, device_file: str | None, words: str) -> tuple[Device, ...]:
    """The user's own devices, where their file may be read."""
    if call.access is not None and not call.access.files:
        return ()
    return tuple(device for device in own_rows(device_file) if words.lower() in device.name.lower())


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
        "best_quant": row.best_quant,
        "speed": row.speed,
        "tokens_per_second": row.speed["decode_tokens_per_second"]["likely"] if row.speed else None,
        "remedy": row.remedy,
    }
