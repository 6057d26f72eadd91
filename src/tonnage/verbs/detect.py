"""`tonnage detect`: what this machine has, what is free, and who holds the rest."""

from collections.abc import Iterable
from typing import Any

from tonnage.hardware.budget import System, budget
from tonnage.hardware.detect import Found, Machine, detect
from tonnage.hardware.devices import find
from tonnage.machine import description
from tonnage.render import numbers
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows


def _or_dash(show: Any) -> Any:
    return lambda value: "-" if value is None else show(value)


def _holders(rows: list[dict[str, Any]]) -> str:
    told = [f"{row['name']} ({row['pid']}){'' if row['bytes'] is None else ' ' + numbers.gib(row['bytes'])}" for row in rows]
    return ", ".join(told)


COLUMNS = (
    Column("name", "device"),
    Column("total_bytes", "total GiB", _or_dash(numbers.gib), right=True),
    Column("free_bytes", "free GiB", _or_dash(numbers.gib), right=True),
    Column("usable_bytes", "usable GiB", _or_dash(numbers.gib), right=True),
    Column("source", "told by"),
    Column("holders", "held by, GiB", _holders),
)


def run(call: Call) -> int:
    """List the GPUs and the host's memory; notes tell what could not be told."""
    machine = detect()
    rows = [*(_gpu(gpu, machine) for gpu in machine.gpus), _host(machine)]
    head = {"os": machine.os, "wired_limit": machine.wired_limit, "notes": list(machine.notes)}
    code = print_rows(call, COLUMNS, rows, head)
    if call.format in ("table", "md"):
        _notes(call, machine.notes)
    return code


def _notes(call: Call, notes: Iterable[str]) -> None:
    for i, note in enumerate(notes):
        call.print(f"{'' if i else chr(10)}- {note}")


def _gpu(gpu: Found, machine: Machine) -> dict[str, Any]:
    text = description(gpu)
    usable = budget(find(text)[0], System(machine.os, gpu.display, machine.wired_limit)).usable_bytes
    holders = [{"pid": holder.pid, "name": holder.name, "bytes": holder.bytes} for holder in gpu.holders]
    told = {"total_bytes": gpu.total_bytes, "free_bytes": gpu.free_bytes, "usable_bytes": usable, "source": gpu.source, "holders": holders}
    return {"name": gpu.device.name, "kind": gpu.device.kind, **told, "display": gpu.display, "driver": gpu.driver, "description": text}


def _host(machine: Machine) -> dict[str, Any]:
    told = {"total_bytes": machine.ram_bytes, "free_bytes": machine.ram_free_bytes, "usable_bytes": machine.ram_free_bytes}
    return {"name": "host memory", "kind": "host", **told, "source": "the system", "holders": []}
