"""Devices that a user keeps in a file of their own, as descriptions that `devices.find` reads.

Each [[device]] has a name; then `base`, a device of the catalogue that it is like, or all that is known of it:
memory, vendor, kind, backend, driver, free, bandwidth (GB/s), watts, price.
"""

from collections.abc import Mapping
from typing import Any

from tonnage.errors import QuestionError
from tonnage.hardware.devices import counted, find

KEYS = ("base", "name", "vendor", "kind", "memory", "driver", "free", "bandwidth", "watts", "price", "backend")


def descriptions(table: Mapping[str, Any], where: str) -> dict[str, str]:
    """Name in small letters -> description, of every device in the file; QuestionError tells which row is wrong."""
    rows = table.get("device", [])
    if not isinstance(rows, list) or set(table) - {"device"}:
        raise QuestionError(f"{where}: must hold [[device]] tables and nothing else")
    return {str(row.get("name", "")).lower(): _description(row, where) for row in rows if isinstance(row, dict)}


def _description(row: Mapping[str, Any], where: str) -> str:
    name = str(row.get("name", "")).strip()
    wrong = [key for key in row if key not in KEYS]
    if not name or wrong:
        raise QuestionError(f"{where}: device {name!r}: " + (f"{wrong[0]!r} is no key; known are {', '.join(KEYS)}" if wrong else "name is missing"))
    text = ",".join([*((str(row["base"]),) if "base" in row else ()), *(f"{key}={row[key]}" for key in KEYS[1:] if key in row)])
    try:
        find(text)
    except QuestionError as error:
        raise QuestionError(f"{where}: device {name!r}: {str(error).partition('; did you mean')[0]}", error.nearest) from None
    return text


def expand(text: str, own: Mapping[str, str]) -> str:
    """The description with an own device's name replaced by what the file says of it."""
    count, name = counted(text.strip())
    told = own.get(name.strip().lower())
    return text if told is None else told if count == 1 else f"{count}x {told}"
