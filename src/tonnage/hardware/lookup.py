"""Names of devices as people write them: `4090`, `rtx4090`, `m4 max 128`, `NVIDIA H100 80GB HBM3`."""

import itertools
import re
from collections.abc import Iterable, Sequence

from tonnage.errors import QuestionError, nearest
from tonnage.frozen import replace
from tonnage.hardware.types import Device
from tonnage.units import GIB

_MACHINES = r"\b(?:macbook (?:pro|air)|mac (?:studio|mini|pro)|macbook|imac)\b"
_NOISE = r"\b(?:gpu|graphics|card|generation|edition|hbm\d?e?|gddr\d\w?|with|unified|memory|ram|\(tm\)|\(r\))\b"
_TOKEN = r"\d+gb|[a-z]\d+[a-z]?(?![a-z])|\d+[a-z](?![a-z0-9])|\d+|[a-z]+"
_PLAIN = frozenset(re.split(" ", "nvidia geforce rtx gtx amd radeon rx intel arc apple tesla quadro instinct core ryzen ai"))
"""words that tell no device from another of its maker"""
_MAKER = r"(?i)^(?:nvidia |geforce |amd |intel )*(?:rtx|gtx|radeon rx|radeon|apple|instinct|tesla|quadro)? *"
_TELLING = 2
"""letters up to which a word tells too little to name a device by it"""
_SHOWN = 8


def tokens(text: str) -> list[str]:
    """The words of a name: letters and numbers apart, but `h100`, `m4`, `l40s` and `24gb` whole."""
    plain = re.sub(r"(?<![a-z0-9])(\d+)[ -]*(?:gb|gib|g)\b", r" \1gb ", text.lower())
    plain = re.sub(r"sxm\d", "sxm", re.sub(_NOISE, " ", re.sub(_MACHINES, " ", plain)))
    return re.findall(_TOKEN, plain)


def _gib(device: Device) -> str:
    return str(round(device.memory_bytes / GIB)) if device.memory_bytes else ""


def line(vendor: str, name: str, series: str, aliases: Iterable[str], memory_bytes: int | None) -> str:
    """All that a device may be called, in one line."""
    family = "geforce laptop mobile" if "Laptop" in name else series
    size = f"{round(memory_bytes / GIB)} {round(memory_bytes / GIB)}gb" if memory_bytes else ""
    return f"{vendor} {name} {' '.join(aliases)} {family} {size}".lower()


def may_mean(said: Iterable[str], line: str) -> bool:
    """Whether every word stands somewhere in the line: what `matching` looks at more closely."""
    joined = _joined(line)
    return all(word in line or word in joined for word in said)


def _words(device: Device) -> str:
    return line(device.vendor, device.name, device.series, device.aliases, device.memory_bytes)


def _joined(line: str) -> str:
    return line.replace(" super", "s").replace(" ", "")


def _known(device: Device) -> set[str]:
    """All words that the device answers to; neighbours also as one: `4090d` is a 4090 D, `4080s` a 4080 SUPER."""
    words = tokens(_words(device))
    return {*words, *(a + (b if b != "super" else "s") for a, b in itertools.pairwise(words))}


def _unsaid(device: Device, said: set[str]) -> int:
    """Words of the name that were not said and tell devices apart; the memory's size is none."""
    size = _gib(device)
    names = [tokens(name) for name in (device.name, *device.aliases)]
    return min(sum(word not in said and word not in _PLAIN and word not in (size, size + "gb") for word in name) for name in names)


def matching(text: str, devices: Iterable[Device]) -> list[Device]:
    """The devices that answer to every word of `text`."""
    said = tokens(text)
    if not said:
        return []
    return [device for device in devices if may_mean(said, _words(device)) and _known(device).issuperset(said)]


def choose(text: str, devices: Sequence[Device]) -> Device:
    """The device that `text` names: the one with the fewest words unsaid, of several such the usual one.

    Raises QuestionError with the nearest names where none or several answer to it.
    """
    found = [device for device in devices if device.name.lower() == text.lower()] or matching(text, devices)
    if not found:
        raise QuestionError(f"device={text!r}: no such device; `tonnage devices` lists all, and a size such as 24GB will do", _nearest(text, devices))
    said = set(tokens(text))
    least = min(_unsaid(device, said) for device in found)
    found = [device for device in found if _unsaid(device, said) == least]
    top = max(device.usual for device in found)
    taken = [device for device in found if device.usual == top]
    if len(taken) > 1 or (top > 1 and len({device.memory_bytes for device in found if device.vendor == "Apple"}) > 1):
        names = [device.name for device in found]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise QuestionError(f"device={text!r} may be {', '.join(names[:_SHOWN])}{more}: say which", names[:3])
    return replace(taken[0], instead_of=tuple(device.name for device in found if device is not taken[0]))


def _nearest(text: str, devices: Sequence[Device]) -> tuple[str, ...]:
    """Names that share the most words with `text`, else those that look like it."""
    said = {word for word in tokens(text) if word not in _PLAIN and len(word) > _TELLING}
    shared = [(len(said & _known(device)), device.name) for device in devices]
    best = max((count for count, _ in shared), default=0)
    if best and len(close := [name for count, name in shared if count == best]) <= _SHOWN:
        return tuple(close[:3])
    short = {re.sub(_MAKER, "", device.name): device.name for device in devices}
    return tuple(short[name] for name in nearest(re.sub(_MAKER, "", text), short)) or nearest(text, (device.name for device in devices))
