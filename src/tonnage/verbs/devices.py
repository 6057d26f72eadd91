"""`tonnage devices`: the catalogue, and the user's own devices."""

from collections.abc import Iterable
from typing import Any

from tonnage.errors import QuestionError, nearest
from tonnage.hardware.budget import budget
from tonnage.hardware.devices import search
from tonnage.hardware.types import Device
from tonnage.machine import own_rows
from tonnage.render import numbers
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows


def _or_blank(show: Any) -> Any:
    return lambda value: "" if value is None else show(value)


COLUMNS = (
    Column("name", "device"),
    Column("memory_bytes", "GiB", _or_blank(lambda nbytes: numbers.gib(nbytes, 0)), right=True),
    Column("usable_bytes", "usable GiB", _or_blank(numbers.gib), right=True),
    Column("bandwidth", "GB/s", _or_blank(lambda bandwidth: f"{bandwidth / 1e9:,.0f}"), right=True),
    Column("year", "year", _or_blank(str), right=True),
)
KEPT = ("vendor", "kind", "driver_bytes", "watts", "pcie_gen", "pcie_lanes", "link", "link_bandwidth", "price", "confidence", "source", "note")


def run(call: Call) -> int:
    """List the devices that answer to all words, the user's own first."""
    words = " ".join(call.words)
    files = call.access is None or call.access.files
    own = [device for device in own_rows(call.face.get("file")) if words.lower() in device.name.lower()] if files else []
    found = [*own, *search(words)]
    if not found:
        from tonnage.hardware.devices import catalogue

        raise QuestionError(f"no device answers to {words!r}", nearest(words, [device.name for device in catalogue()]))
    return print_rows(call, COLUMNS, list(_rows(found)), {})


def _rows(devices: Iterable[Device]) -> Iterable[dict[str, Any]]:
    for device in devices:
        told = budget(device)
        row: dict[str, Any] = {"name": device.name, "memory_bytes": device.memory_bytes}
        row |= {"usable_bytes": told.usable_bytes, "bandwidth": device.bandwidth}
        row |= {"year": device.year, **{name: getattr(device, name) for name in KEPT}, "backends": list(device.backends)}
        deductions = [{"what": kept.what, "bytes": kept.bytes, "basis": kept.basis, "source": kept.source} for kept in told.deductions]
        yield {**row, "tflops": dict(device.tflops), "deductions": deductions}
