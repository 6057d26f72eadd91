"""Host memory as a question describes it: `64GB`, `96GB DDR5-6000 x2`, `2x48GB DDR5-6000`, `512GB EPYC 9005`."""

import re

from tonnage.calculators.ram import check_speed
from tonnage.errors import QuestionError
from tonnage.frozen import dataclass
from tonnage.units import parse_bytes

_STICKS = r"([0-9]{1,2})\s*[x×*]\s*([0-9.]+\s*[kmgt]i?b)\b"
_KIT = r"(lp)?ddr([2-6]x?)[ -]*([0-9]{3,5})"
_CHANNELS = r"(?:^|\s)(?:[x×]\s*([0-9]{1,2})|([0-9]{1,2})[ -]*(?:ch|channels?))\b"
_WORDS = {"single": 1, "dual": 2, "quad": 4, "octa": 8}
DESKTOP_CHANNELS = 2
"""where a kit does not say on how many channels it runs"""


@dataclass(frozen=True, slots=True)
class Ram:
    """Host memory; what the description leaves out is None."""

    bytes: int | None
    """None where a kit alone was told: no limit"""
    free_bytes: int | None = None
    kind: str = ""
    mt_s: int | None = None
    channels: int | None = None
    bandwidth: int | None = None
    """peak bytes per second: MT/s x 8 bytes x channels"""

    @property
    def usable_bytes(self) -> int | None:
        """What is free, where that was measured; else all of it."""
        if self.bytes is None:
            return self.free_bytes
        return self.bytes if self.free_bytes is None else min(self.free_bytes, self.bytes)


def parse_ram(text: str) -> Ram:
    """Host memory from its size and, where told, its kit, or from a kit alone; `-free` marks what is free now, as in `64GB 51000MiB-free`."""
    if re.match(_KIT, text.strip(), re.IGNORECASE):
        return _with_kit(text, None, text.strip(), None)
    sticks = re.match(_STICKS, text.strip(), re.IGNORECASE)
    size = parse_bytes(sticks[2] if sticks else text.split()[0], memory=True) if text.strip() else None
    size = size * int(sticks[1]) if sticks and size else size
    if not size or size >= 2**63:
        raise QuestionError(f"ram={text!r}: must begin with a size such as 64GB")
    rest = text.strip()[sticks.end() :] if sticks else text.strip().partition(" ")[2]
    return _with_kit(text, size, rest, int(sticks[1]) if sticks else None)


def _with_kit(text: str, size: int | None, rest: str, sticks: int | None) -> Ram:
    free = re.search(r"(\S+)-free\b", rest)
    free_bytes = parse_bytes(free[1]) if free else None
    if free:
        rest = rest.replace(free[0], "")
    kit = re.search(_KIT, rest, re.IGNORECASE)
    if kit is None:
        return _platform(text, size, rest.strip(), free_bytes)
    channels = _channels(rest[: kit.start()] + " " + rest[kit.end() :]) or min(sticks or DESKTOP_CHANNELS, DESKTOP_CHANNELS)
    mt_s = int(kit[3])
    check_speed(f"{(kit[1] or '').upper()}DDR{kit[2]}", mt_s, kit[0])
    return Ram(size, free_bytes, f"{(kit[1] or '').upper()}DDR{kit[2].upper()}", mt_s, channels, mt_s * 8_000_000 * channels)


def _channels(text: str) -> int | None:
    told = re.search(_CHANNELS, text, re.IGNORECASE)
    if told:
        return int(told[1] or told[2])
    return next((count for word, count in _WORDS.items() if word in text.lower()), None)


def _platform(text: str, size: int | None, rest: str, free_bytes: int | None) -> Ram:
    """A memory system of the catalogue, such as `EPYC 9005`."""
    if not rest:
        return Ram(size, free_bytes)
    from tonnage.hardware.devices import catalogue
    from tonnage.hardware.lookup import choose

    try:
        found = choose(rest, [device for device in catalogue() if device.kind == "host"])
    except QuestionError as error:
        known = "a kit such as DDR5-6000 x2, or a platform such as EPYC 9005"
        raise QuestionError(f"ram={text!r}: after the size comes {known}", error.nearest) from None
    return Ram(size, free_bytes, found.name, found.mt_s, found.channels, found.bandwidth)
