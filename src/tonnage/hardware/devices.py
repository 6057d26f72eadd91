"""The devices that a question names: of the catalogue, by size, by exact free memory, or told in full."""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

from tonnage import data
from tonnage.errors import QuestionError
from tonnage.frozen import replace
from tonnage.hardware.types import Device
from tonnage.units import MIB, parse_bytes

BACKENDS = ("cuda", "rocm", "metal", "vulkan")
OF_VENDOR = {"NVIDIA": ("cuda", "vulkan"), "AMD": ("rocm", "vulkan"), "Intel": ("vulkan",), "Apple": ("metal",)}
_MOST = 1024
_LONGEST = 32
_EXACT = rf"(?i:(?:({'|'.join(BACKENDS)}):)?(.+?)-free)"
_BEFORE = r"([0-9]+)\s*[xX×*](?!(?i:tx?)\b)\s*(.+)"
_AFTER = r"(.+?)(?:\s+|(?<=[0-9]))[xX×*]\s*([0-9]+)"
_SIZED = r"(?i)(?:b|[0-9]\s*[kmgt]?)$"
_FIELDS = {"memory": "memory_bytes", "driver": "driver_bytes", "free": "free_bytes", "bandwidth": "bandwidth", "watts": "watts", "price": "price"}
_KINDS = ("gpu", "unified")


@cache
def catalogue() -> tuple[Device, ...]:
    """Every device of the packaged table, host memory systems too."""
    table = data.load_json("devices.json")
    columns = table["columns"]
    return tuple(_of_row(dict(zip(columns, row, strict=True))) for row in table["rows"])


def _of_row(row: dict[str, Any]) -> Device:
    return Device(**{**row, "aliases": tuple(row["aliases"]), "backends": OF_VENDOR.get(row["vendor"], ())})


def _near(text: str) -> tuple[Device, ...]:
    """The devices that `text` may mean, without making the others; all of them where it means none."""
    from tonnage.hardware.lookup import line, may_mean, tokens

    table = data.load_json("devices.json")
    at = {name: i for i, name in enumerate(table["columns"])}
    where = [at[name] for name in ("vendor", "name", "series", "aliases", "memory_bytes")]
    said = tokens(text)
    found = tuple(_of_row(dict(zip(at, row, strict=True))) for row in table["rows"] if said and may_mean(said, line(*(row[i] for i in where))))
    return found or catalogue()


def search(words: str = "") -> tuple[Device, ...]:
    """The devices of the catalogue that answer to every word."""
    from tonnage.hardware.lookup import matching

    return tuple(matching(words, catalogue())) if words.strip() else catalogue()


def find_all(descriptions: Iterable[str]) -> tuple[Device, ...]:
    """The devices of all descriptions, in order."""
    devices = tuple(device for text in descriptions for device in find(text))
    if len(devices) > _MOST:
        raise QuestionError(f"device: {len(devices):,} devices are given, {_MOST:,} at most can be placed")
    return devices


@lru_cache(maxsize=512)
def find(text: str) -> tuple[Device, ...]:
    """The devices of one description; QuestionError names the nearest where it is none.

    `4090`, `2x RTX 3090`, `rtx4090 x2`, `m4 max 128`; a size `24GB`; exact free memory `cuda:23990MiB-free`;
    or fields, alone or behind a name: `RTX 4090,memory=48GB`, `name=lab card,memory=24GB,bandwidth=900,backend=cuda`.
    """
    count, body = counted(text.strip())
    if not 1 <= count <= _MOST:
        raise QuestionError(f"device={text!r}: from 1 to {_MOST:,} of a kind")
    return (_one(body, text),) * count


def counted(text: str) -> tuple[int, str]:
    """`2x NAME` and `NAME x2` taken apart."""
    before = re.fullmatch(_BEFORE, text)
    after = None if "=" in text else re.fullmatch(_AFTER, text)
    if before and not (after and int(before[1][:6]) > _MOST):  # in `4090 x 2` the name comes first
        return int(before[1][:6]), before[2]
    return (int(after[2][:6]), after[1]) if after else (1, text)


def _one(body: str, text: str) -> Device:
    exact = re.fullmatch(_EXACT, body)
    free = _size(exact[2], memory=False) if exact else None
    if exact and free:
        return Device(name=body, free_bytes=free, backends=(exact[1].lower(),) if exact[1] else ())
    if "=" in body:
        return _told(body, text)
    size = _size(body, memory=True)
    if size and re.search(_SIZED, body) and not (body.isdecimal() and size < MIB):  # 4090 is a name, and so is 4060 Ti
        # a card is sold by its binary size: 24GB holds 24 GiB
        return Device(name=body, memory_bytes=size)
    return _named(body, text)


def _named(body: str, text: str) -> Device:
    if not any(character.isalnum() for character in body) or re.search(r"(?i)-free$", body) or re.fullmatch(r"(?i)[0-9.]+\s*[kmgt]?i?b", body):
        raise QuestionError(f"device={text!r}: must be a name such as RTX 4090, a size such as 24GB, or free memory such as cuda:23990MiB-free")
    found = _by_full_name(body) or _choice(body)
    if found.kind == "host":
        raise QuestionError(f"device={text!r} is host memory: say it with --ram, as in 64GB DDR5-6000 x2")
    if found.memory_bytes is None:
        raise QuestionError(f"device={text!r}: {found.name} has the host's memory: say how much, as in {body},memory=32GB")
    return found


def _by_full_name(name: str) -> Device | None:
    """The device that bears exactly this name, where the catalogue is read already: lists of devices ask for every one."""
    return _names().get(name) if catalogue.cache_info().currsize else None


@cache
def _names() -> dict[str, Device]:
    return {device.name: device for device in catalogue()}


def is_listed(device: Device) -> bool:
    """Whether it is a row of the catalogue, which its name alone tells in full."""
    return _names().get(device.name) == device


def _choice(body: str) -> Device:
    from tonnage.hardware.lookup import choose

    near = _near(body)
    try:
        return choose(body, near)
    except QuestionError:
        return choose(body, catalogue())  # for the nearest names of all


def _told(body: str, text: str) -> Device:
    """A device told by fields; a name before them is looked up first."""
    first, *rest = body.split(",")
    base = None if "=" in first else first.strip()
    fields: dict[str, Any] = dict(_field(item, text) for item in (rest if base is not None else (first, *rest)))
    known = Device(name="device") if not base else next((d for d in _bases(base)), None) or _named(base, text)
    vendor = str(fields.pop("vendor", known.vendor))
    backend = fields.pop("backend", None)
    backends = (str(backend),) if backend else known.backends or OF_VENDOR.get(vendor, ())
    found = replace(known, vendor=vendor, backends=backends, instead_of=(), **fields)
    if "memory_bytes" in fields and "driver_bytes" not in fields:
        found = replace(found, driver_bytes=None, cuda_bytes=None)
    if found.memory_bytes is None and found.free_bytes is None:
        raise QuestionError(f"device={text!r}: memory= is missing")
    return found if base or "name" in fields else replace(found, name=body)


def _bases(base: str) -> Iterable[Device]:
    """Devices without a memory of their own may be named where a field tells it."""
    from tonnage.hardware.lookup import matching

    return [device for device in matching(base, catalogue()) if device.memory_bytes is None and device.kind == "unified"]


def _field(item: str, text: str) -> tuple[str, object]:
    key, _, value = (part.strip() for part in item.partition("="))
    if key in ("name", "vendor") and value:
        return key, value
    if key == "kind" and value in _KINDS:
        return key, value
    if key == "backend" and value in BACKENDS:
        return key, value
    if key in ("memory", "driver", "free"):
        size = _size(value, memory=True)
        if size:
            return _FIELDS[key], size
    elif key in _FIELDS and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", value):
        number = float(value)
        return _FIELDS[key], round(number * 1e9) if key == "bandwidth" else number if key == "price" else round(number)
    known = f"name, vendor, kind ({' or '.join(_KINDS)}), backend ({', '.join(BACKENDS)}), {', '.join(_FIELDS)}"
    raise QuestionError(f"device={text!r}: {item.strip()!r} is no field; known are {known}")


def _size(text: str, *, memory: bool) -> int | None:
    size = parse_bytes(text, memory=memory) if len(text) <= _LONGEST else None
    return size if size and size < 2**63 else None


def asked_as(device: Device) -> str:
    """The device as a question names it: a description holds less than the catalogue knows of it."""
    return device.name if is_listed(device) else describe(device)


def describe(device: Device) -> str:
    """The device as a description that needs no table: `find` reads it again."""
    fields = [f"name={device.name.replace(',', ';')}", *(f"{key}={value}" for key in ("vendor", "kind") if (value := getattr(device, key)))]
    fields += [f"{key}={value}B" for key in ("memory", "driver", "free") if (value := getattr(device, _FIELDS[key]))]
    if device.bandwidth:
        fields.append(f"bandwidth={device.bandwidth / 1e9:.10g}")
    fields += [f"{key}={value:g}" for key in ("watts", "price") if (value := getattr(device, key))]
    return ",".join([*fields, *([f"backend={device.backend}"] if device.backend else [])])
