"""Host memory of this machine: all of it, and what is free; a container's limit counts."""

import re

from tonnage.hardware.detect import Probe
from tonnage.units import KIB

Memory = tuple[int | None, int | None]
"""bytes, and free bytes; None where it cannot be told"""
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat"),
)
"""cgroup v2, then v1"""


def memory(probe: Probe, notes: list[str]) -> Memory:
    """Host memory by /proc, else by psutil."""
    found = _proc(probe) or _psutil(probe)
    if found is None:
        if probe.system != "macos":
            notes.append("Host memory cannot be told; `pip install psutil` lets tonnage read it.")
        return None, None
    total, free = found
    limit = _limit(probe)
    if limit is None or limit[0] >= total:
        return total, free
    notes.append("Host memory is limited by a container (cgroup).")
    return limit[0], min(free, limit[1])


def _proc(probe: Probe) -> tuple[int, int] | None:
    text = probe.read("/proc/meminfo") or ""
    rows = {name: int(value) * KIB for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    total = rows.get("MemTotal")
    return (total, rows.get("MemAvailable", rows.get("MemFree", 0))) if total else None


def _psutil(probe: Probe) -> tuple[int, int] | None:
    psutil = probe.module("psutil")
    if psutil is None:
        return None
    found = psutil.virtual_memory()
    return int(found.total), int(found.available)


def _limit(probe: Probe) -> tuple[int, int] | None:
    """A container's limit, and what is free below it: cached files can be given up."""
    for limit, used, stat in _GROUPS:
        most = (probe.read(limit) or "").strip()
        if most.isdecimal():
            taken = (probe.read(used) or "").strip()
            cached = re.search(r"^(?:total_)?inactive_file (\d+)", probe.read(stat) or "", re.MULTILINE)
            held = max(int(taken) - (int(cached[1]) if cached else 0), 0) if taken.isdecimal() else 0
            return int(most), max(int(most) - held, 0)
    return None
