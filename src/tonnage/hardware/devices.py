"""What a device's description says: name, kind, capacity and the memory that can be used."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tonnage.errors import QuestionError
from tonnage.units import parse_bytes

BACKENDS = ("cuda", "rocm", "metal", "vulkan")
_MOST = 1024
_LONGEST = 32
_EXACT = rf"(?i:(?:({'|'.join(BACKENDS)}):)?(.+?)-free)"
_TIMES = r"([0-9]+)\s*(?:[xX]\s+|[xX](?=[0-9])|\*\s*)(.+)"


class Device(NamedTuple):
    """Something with memory. Sizes are None where there is no known limit."""

    name: str
    kind: str
    """gpu, unified or host"""
    backend: str | None
    """what the description says of it; None where it is silent"""
    capacity_bytes: int | None
    usable_bytes: int | None
    """what an engine finds free"""


def parse_devices(descriptions: Sequence[str], in_use: Sequence[int] = ()) -> tuple[Device, ...]:
    """The devices of all descriptions; `in_use` is one size for all of them, or one for each."""
    devices = [device for text in descriptions for device in parse_device(text)]
    if len(devices) > _MOST:
        raise QuestionError(f"device: {len(devices):,} devices are given, {_MOST:,} at most can be placed")
    if len(in_use) not in (0, 1, len(devices)):
        raise QuestionError(f"in_use has {len(in_use)} sizes for {len(devices)} devices: give one, or one for each")
    taken = list(in_use) * len(devices) if len(in_use) == 1 else list(in_use) or [0] * len(devices)
    return tuple(_less(device, nbytes) for device, nbytes in zip(devices, taken, strict=True))


def _less(device: Device, taken: int) -> Device:
    return device._replace(usable_bytes=None if device.usable_bytes is None else max(device.usable_bytes - taken, 0))


def parse_device(text: str) -> tuple[Device, ...]:
    """The devices of one description: `24GB`, `2x 24GB`, or exact free memory `cuda:23990MiB-free`."""
    match = re.fullmatch(_TIMES, text.strip())
    count, rest = (int(match[1][:6]), match[2]) if match else (1, text.strip())
    if not 1 <= count <= _MOST:
        raise QuestionError(f"device={text!r}: from 1 to {_MOST:,} of a kind")
    return (_one(rest, text),) * count


def _one(description: str, text: str) -> Device:
    exact = re.fullmatch(_EXACT, description)
    if exact:
        free = _size(exact[2], memory=False)
        if free:
            return Device(description, "gpu", exact[1].lower() if exact[1] else None, None, free)
    size = _size(description, memory=True)
    if not size:
        raise QuestionError(f"device={text!r}: must be a size such as 24GB, several such as 2x 24GB, or free memory such as cuda:23990MiB-free")
    # a card is sold by its binary size: 24GB holds 24 GiB
    return Device(description, "gpu", None, size, size)


def _size(text: str, *, memory: bool) -> int | None:
    size = parse_bytes(text, memory=memory) if len(text) <= _LONGEST else None
    return size if size and size < 2**63 else None


def parse_ram(text: str) -> int:
    """Bytes of host memory from `64GB`, or from a kit such as `96GB DDR5-6000 x2`."""
    size = _size(text.split()[0], memory=True)
    if not size:
        raise QuestionError(f"ram={text!r}: must begin with a size such as 64GB")
    return size
