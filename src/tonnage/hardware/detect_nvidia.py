"""NVIDIA's GPUs: by NVML where `nvidia-ml-py` is there, else by nvidia-smi."""

import csv
import re
from typing import Any

from tonnage.errors import QuestionError
from tonnage.frozen import replace
from tonnage.hardware.detect import Found, Holder, Probe
from tonnage.hardware.devices import OF_VENDOR, find
from tonnage.hardware.types import Device
from tonnage.units import GIB, MIB

_FIELDS = ("index", "uuid", "name", "memory.total", "memory.free", "display_active", "driver_version", "compute_cap")
_FORM = "--format=csv,noheader,nounits"
_MEMORY_CLOCK = 2
"""NVML_CLOCK_MEM"""
_PROGRAMS = ("nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi")
_PROCESSES = ("gpu_uuid", "pid", "process_name", "used_memory")


def gpus(probe: Probe, ram: tuple[int | None, int | None], notes: list[str]) -> tuple[Found, ...]:
    """The GPUs that a program sees; a driver that does not answer is a note."""
    found = _by_nvml(probe, ram, notes)
    if found is None:
        found = _by_smi(probe, ram, notes)
    if found and probe.system == "windows":
        notes.append("Windows gives a program less than the driver calls free (WDDM): keep a margin of 1 GiB or more.")
    return _visible(probe, found, notes)


def known(name: str, total: int | None) -> Device:
    """The device of the catalogue that the driver's name means; of several the one with this memory."""
    sizes = [f" {round(total / GIB)}GB"] if total else []
    for size in ("", *sizes):
        try:
            (device,) = find(name + size)
        except QuestionError:
            continue
        other = total and device.memory_bytes and not 0.9 < total / device.memory_bytes < 1.02
        if not other:
            return replace(device, instead_of=())
    return Device(name=name, vendor="NVIDIA", memory_bytes=total, backends=OF_VENDOR["NVIDIA"], source="driver")


def _found(name: str, total: int | None, free: int | None, ram: tuple[int | None, int | None], **more: Any) -> Found:
    device = known(name, total)
    if total is None and device.kind == "unified":  # GB10: the driver tells nothing, the memory is the host's
        total, free = ram
    return Found(device, total, free, **more)


# --- NVML -----------------------------------------------------------------------------------------


def _by_nvml(probe: Probe, ram: tuple[int | None, int | None], notes: list[str]) -> tuple[Found, ...] | None:
    """By NVML; None where nvidia-smi may know more."""
    nvml = probe.module("pynvml")
    if nvml is None:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if "LibraryNotFound" not in type(error).__name__ and "Library Not Found" not in str(error):
            notes.append(f"NVIDIA's driver does not answer: {error}.")
            return ()
        return None
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        return tuple(_nvml_one(nvml, probe, ram, nvml.nvmlDeviceGetHandleByIndex(i), driver, notes) for i in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError as error:
        notes.append(f"NVIDIA's driver does not answer: {error}.")
        return ()
    finally:
        nvml.nvmlShutdown()


def _nvml_one(nvml: Any, probe: Probe, ram: tuple[int | None, int | None], handle: Any, driver: str, notes: list[str]) -> Found:
    total, free = _nvml_memory(nvml, handle)
    if next(iter(_asked(nvml, "nvmlDeviceGetMigMode", handle, (0, 0)))):
        notes.append("MIG is on: a program sees its instance, not the whole card.")
    holders = [*_asked(nvml, "nvmlDeviceGetComputeRunningProcesses", handle, ()), *_asked(nvml, "nvmlDeviceGetGraphicsRunningProcesses", handle, ())]
    by_pid = {process.pid: process.usedGpuMemory for process in holders}
    found = _found(
        _text(nvml.nvmlDeviceGetName(handle)),
        total,
        free,
        ram,
        holders=tuple(Holder(pid, _process(probe, pid), used) for pid, used in by_pid.items()),
        display=bool(_asked(nvml, "nvmlDeviceGetDisplayActive", handle, 0)),
        source="NVML",
        driver=driver,
    )
    bandwidth = found.device.bandwidth or _bandwidth(nvml, handle)
    return replace(found, device=replace(found.device, bandwidth=bandwidth))


def _bandwidth(nvml: Any, handle: Any) -> int | None:
    """Bytes per second: two transfers a clock over the whole bus."""
    megahertz = _asked(nvml, "nvmlDeviceGetMaxClockInfo", handle, 0, _MEMORY_CLOCK)
    return 2 * megahertz * 1_000_000 * _asked(nvml, "nvmlDeviceGetMemoryBusWidth", handle, 0) // 8 or None


def _nvml_memory(nvml: Any, handle: Any) -> tuple[int | None, int | None]:
    """Total and free; the second version of the call keeps the driver's reserve out of both used and free."""
    try:
        version = getattr(nvml, "nvmlMemory_v2", None)
        found = nvml.nvmlDeviceGetMemoryInfo(handle, version) if version is not None else nvml.nvmlDeviceGetMemoryInfo(handle)
    except nvml.NVMLError:
        return None, None
    return int(found.total), int(found.free)


def _asked(nvml: Any, name: str, handle: Any, otherwise: Any, *more: Any) -> Any:
    """What NVML answers; `otherwise` where card, driver or package cannot."""
    ask = getattr(nvml, name, None)
    try:
        return otherwise if ask is None else ask(handle, *more)
    except nvml.NVMLError:
        return otherwise


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _process(probe: Probe, pid: int) -> str:
    return (probe.read(f"/proc/{pid}/comm") or "").strip() or "another process"


# --- nvidia-smi -----------------------------------------------------------------------------------


def _by_smi(probe: Probe, ram: tuple[int | None, int | None], notes: list[str]) -> tuple[Found, ...]:
    told = ((program, probe.run((program, f"--query-gpu={','.join(_FIELDS)}", _FORM))) for program in _PROGRAMS)
    program, ran = next(((program, ran) for program, ran in told if ran), ("", None))
    if ran is None:
        return ()
    rows = [row for row in csv.reader(ran.out.splitlines(), skipinitialspace=True) if len(row) == len(_FIELDS)]
    if ran.code or not rows:
        first = next(iter(ran.out.strip().splitlines()), "it gives no output")
        notes.append(f"nvidia-smi does not answer: {first[:160]}")
        return ()
    holders = _smi_holders(probe, program)
    cards = [dict(zip(_FIELDS, row, strict=True)) for row in rows]
    return tuple(
        _found(
            row["name"],
            _mib(row["memory.total"]),
            _mib(row["memory.free"]),
            ram,
            holders=tuple(holder for uuid, holder in holders if uuid == row["uuid"]),
            display=row["display_active"] == "Enabled",
            source="nvidia-smi",
            driver=row["driver_version"],
        )
        for row in cards
    )


def _smi_holders(probe: Probe, program: str) -> list[tuple[str, Holder]]:
    ran = probe.run((program, f"--query-compute-apps={','.join(_PROCESSES)}", _FORM))
    rows = csv.reader(ran.out.splitlines(), skipinitialspace=True) if ran and not ran.code else ()
    return [(row[0], Holder(int(row[1]), row[2], _mib(row[3]))) for row in rows if len(row) == len(_PROCESSES) and row[1].isdecimal()]


def _mib(text: str) -> int | None:
    """Mebibytes; None for `[N/A]` and `[Not Supported]`."""
    return int(text) * MIB if text.strip().isdecimal() else None


# --- what a program sees --------------------------------------------------------------------------


def _visible(probe: Probe, found: tuple[Found, ...], notes: list[str]) -> tuple[Found, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves; CUDA numbers unlike cards with the fastest first."""
    chosen = probe.env("CUDA_VISIBLE_DEVICES")
    if found and chosen is not None and re.fullmatch(r"\s*(-1|\d+(\s*,\s*\d+)*)?\s*", chosen):
        numbers = [int(number) for number in chosen.split(",") if number.strip().isdecimal()]
        found = tuple(found[number] for number in numbers if number < len(found))
        notes.append(f"CUDA_VISIBLE_DEVICES={chosen.strip()} leaves {len(found)} of the GPUs.")
    if len({gpu.device.name for gpu in found}) > 1 and probe.env("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        notes.append("The GPUs are unlike: CUDA numbers them with the fastest first, unless CUDA_DEVICE_ORDER=PCI_BUS_ID.")
    return found
