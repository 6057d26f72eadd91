"""A Mac, by sysctl and its like: chip, memory, the limit of the GPU, and what is free."""

import re

from tonnage.hardware.detect import Found, Machine, Probe
from tonnage.hardware.devices import OF_VENDOR, catalogue
from tonnage.hardware.types import Device
from tonnage.units import GIB, MIB

MACOS_WITH_LARGER_LIMIT = 26


def machine(probe: Probe, ram: tuple[int | None, int | None], notes: list[str]) -> Machine:
    """The Mac; its GPU's limit is Metal's default for this macOS, or what was set in its place."""
    memory = _whole(probe, "hw.memsize") or ram[0]
    if memory is None:
        notes.append("sysctl does not tell the memory of this Mac.")
        return Machine("macos", (), None, None, notes=tuple(notes))
    version = _out(probe, "sw_vers", "-productVersion")
    os = "macos15" if version.partition(".")[0].isdecimal() and int(version.partition(".")[0]) < MACOS_WITH_LARGER_LIMIT else "macos"
    limit = _whole(probe, "iogpu.wired_limit_mb") or 0
    device = _device(_out(probe, "sysctl", "-n", "machdep.cpu.brand_string"), memory, _cores(probe), notes)
    free = ram[1] if ram[1] is not None else _free(probe)
    if free is None:
        notes.append("vm_stat does not tell how much memory is free: all of it is counted.")
    return Machine(os, (Found(device, memory, None, source="sysctl"),), memory, free, limit * MIB or None, tuple(notes))


def _out(probe: Probe, *words: str) -> str:
    ran = probe.run(words)
    return ran.out.strip() if ran and not ran.code else ""


def _whole(probe: Probe, name: str) -> int | None:
    text = _out(probe, "sysctl", "-n", name)
    return int(text) if text.isdecimal() else None


def _cores(probe: Probe) -> int | None:
    found = re.search(r'"sppci_cores"\s*:\s*"(\d+)"', _out(probe, "system_profiler", "SPDisplaysDataType", "-json"))
    return int(found[1]) if found else None


def _device(chip: str, memory: int, cores: int | None, notes: list[str]) -> Device:
    """The row of this chip, memory and number of cores; of several the one with the most cores."""
    rows = [device for device in catalogue() if device.vendor == "Apple" and device.name.startswith(f"{chip} {memory // GIB}GB")]
    rows = [device for device in rows if device.cores == cores] or rows
    if rows:
        return max(rows, key=lambda device: device.cores or 0)
    notes.append(f"{chip or 'This chip'} with {memory // GIB} GiB is not in the catalogue: its bandwidth is not known.")
    return Device(name=chip or "Apple", vendor="Apple", kind="unified", memory_bytes=memory, backends=OF_VENDOR["Apple"], source="sysctl")


def _free(probe: Probe) -> int | None:
    """What macOS can give at once: free, inactive, speculative and purgeable pages."""
    text = _out(probe, "vm_stat")
    page = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", text, re.MULTILINE)
    return int(page[1]) * sum(map(int, pages)) if page and pages else None
