"""Whether it fits, in a word and a sentence."""

from collections.abc import Iterable

from tonnage.answer import DeviceAnswer, Verdict
from tonnage.frozen import replace
from tonnage.units import GIB

WORDS = ("fits", "tight", "offload", "spills", "pages", "too big")
_FAILS = ("spills", "pages", "too big")


def judge(devices: Iterable[DeviceAnswer], margin: int, os: str = "linux") -> Verdict | None:
    """The verdict for `margin` bytes to be left free on every GPU; None where no device has a limit."""
    limited = [device for device in _numbered(list(devices)) if device.usable_bytes is not None]
    if not limited:
        return None
    short = [device for device in limited if _free(device) < 0]
    if short:
        return _short(short, limited, os)
    tight = [device for device in limited if _room(device) < _margin(device, margin)]
    if tight:
        return Verdict("tight", "; ".join(_why_tight(device, margin) for device in tight))
    return Verdict("fits", f"{_least(limited)} stays free")


def _numbered(devices: list[DeviceAnswer]) -> list[DeviceAnswer]:
    """The devices under names that tell them apart: the engine's number where there are several GPUs."""
    if sum(device.kind != "host" for device in devices) < 2:
        return devices
    return [device if device.kind == "host" else replace(device, name=f"GPU {i} ({device.name})") for i, device in enumerate(devices)]


def _short(short: list[DeviceAnswer], limited: list[DeviceAnswer], os: str) -> Verdict:
    """Windows pages a GPU's memory out; host memory short of mapped pages alone is read again and again; all else is too big."""
    missing = sum(-_free(device) for device in short)
    text = ", ".join(f"{device.name} is {_gib(-_free(device))} short" for device in short)
    if os == "windows" and all(device.kind != "host" for device in short) and missing <= _shared_memory(limited):
        return Verdict("spills", f"{text}: the driver moves it to shared memory without a word, and it gets slow", missing)
    if all(device.kind == "host" and _held(device, "mapped") >= -_free(device) for device in short):
        return Verdict("pages", f"{text}: weights will be read from disk again and again", missing)
    return Verdict("too big", text, missing)


def _shared_memory(limited: list[DeviceAnswer]) -> float:
    """What Windows lets GPUs take of the host's memory, half of it; and no more than is free."""
    host = next((device for device in limited if device.kind == "host"), None)
    return min((host.capacity_bytes or 0) // 2, max(_free(host), 0)) if host else float("inf")


def _held(device: DeviceAnswer, how: str) -> int:
    return sum(part.bytes for part in device.parts if part.held == how)


def _free(device: DeviceAnswer) -> int:
    """Free bytes at the start: before anything grows into what is only reserved."""
    return (device.free_bytes or 0) + _held(device, "reserved")


def _room(device: DeviceAnswer) -> int:
    """Free bytes once all has grown, at the upper end of the band."""
    return (device.free_bytes or 0) - (device.error.high if device.error else 0)


def _margin(device: DeviceAnswer, margin: int) -> int:
    return 0 if device.kind == "host" else margin


def _why_tight(device: DeviceAnswer, margin: int) -> str:
    kept = f"{device.name} keeps {_gib(_free(device))} free"
    if _free(device) < _margin(device, margin):
        return f"{kept}, less than the margin of {_gib(margin)}"
    if (device.free_bytes or 0) < _margin(device, margin):
        return f"{kept} at the start, but may grow by {_gib(_held(device, 'reserved'))}"
    return f"{kept}, less than its margin at the upper end of the error"


def _least(devices: list[DeviceAnswer]) -> str:
    free = min(device.free_bytes or 0 for device in devices)
    return _gib(free) + (" or more on each" if len(devices) > 1 else "")


def _gib(nbytes: int) -> str:
    return f"{nbytes / GIB:.2f} GiB"


def exit_code(verdict: Verdict | None, *, placement_is_free: bool) -> int:
    """0 where it runs as asked, 1 where it does not; `offload` is an answer if placement was left free."""
    if verdict is None:
        return 0
    return int(verdict.word in _FAILS or (verdict.word == "offload" and not placement_is_free))
