"""AMD's and Intel's GPUs by sysfs, and what NVIDIA's driver should have told."""

import re
from typing import Any

from tonnage.frozen import replace
from tonnage.hardware.detect import Found, Probe
from tonnage.hardware.devices import OF_VENDOR, catalogue
from tonnage.hardware.types import Device
from tonnage.units import GIB

DRM = "/sys/class/drm"
NVIDIA, AMD, INTEL = "0x10de", "0x1002", "0x8086"
CHIPS = {
    (AMD, "0x744c"): ("Radeon RX 7900 XTX", "Radeon RX 7900 XT", "Radeon RX 7900 GRE"),
    (AMD, "0x74a1"): ("Instinct MI300X",),
    (AMD, "0x740f"): ("Instinct MI210",),
    (AMD, "0x1586"): tuple(f"Ryzen AI Max+ 395 / Radeon 8060S {size}GB" for size in (128, 96, 64)),
    (AMD, "0x150e"): ("Radeon 890M (LPDDR5X-7500)",),
    (AMD, "0x15bf"): ("Radeon 780M (DDR5-5600 x2)",),
    (AMD, "0x1681"): ("Radeon 680M (DDR5-4800 x2)",),
    (INTEL, "0xe20b"): ("Arc B580",),
    (INTEL, "0xe20c"): ("Arc B570",),
    (INTEL, "0xe211"): ("Arc Pro B60",),
    (INTEL, "0xe212"): ("Arc Pro B50",),
    (INTEL, "0x56a0"): ("Arc A770 16GB", "Arc A770 8GB"),
    (INTEL, "0x56a1"): ("Arc A750",),
    (INTEL, "0x56a5"): ("Arc A380",),
    (INTEL, "0x64a0"): ("Arc 140V (Lunar Lake)",),
}
"""(vendor, PCI device) -> devices of the catalogue that it may be: the one with this memory is taken; recalled"""

Ram = tuple[int | None, int | None]


def gpus(probe: Probe, ram: Ram, has_nvidia: bool, notes: list[str]) -> tuple[Found, ...]:
    """The GPUs of sysfs that are not NVIDIA's; a GPU without its driver is a note."""
    found: list[Found] = []
    for card in (name for name in probe.names(DRM) if re.fullmatch(r"card\d+", name)):
        folder = f"{DRM}/{card}/device"
        vendor = (probe.read(f"{folder}/vendor") or "").strip()
        if vendor == NVIDIA and not has_nvidia:
            notes.append("An NVIDIA GPU is on the bus, but its driver does not answer (a container needs --gpus all, or its like).")
        elif vendor == AMD:
            found += _amd(probe, folder, ram, notes)
        elif vendor == INTEL:
            found += _intel(probe, folder, ram, notes)
    return _named_by_amdsmi(probe, found)


def _number(probe: Probe, path: str) -> int | None:
    text = (probe.read(path) or "").strip()
    return int(text) if text.isdecimal() else None


def _known(vendor: str, chip: str, total: int | None) -> Device | None:
    """The device of the catalogue whose memory is nearest to what was read."""
    names = CHIPS.get((vendor, chip), ())
    rows = [device for device in catalogue() if device.name in names]
    return min(rows, key=lambda device: abs((device.memory_bytes or 0) - (total or device.memory_bytes or 0))) if rows else None


def _amd(probe: Probe, folder: str, ram: Ram, notes: list[str]) -> list[Found]:
    """A card's own memory, or what graphics in the processor may take of the host's."""
    chip = (probe.read(f"{folder}/device") or "").strip()
    pools = {
        pool: (_number(probe, f"{folder}/mem_info_{pool}_total"), _number(probe, f"{folder}/mem_info_{pool}_used") or 0) for pool in ("vram", "gtt")
    }
    vram, gtt = pools["vram"], pools["gtt"]
    if vram[0] is None:
        notes.append(f"An AMD GPU ({chip or 'unknown chip'}) is on the bus, but amdgpu tells nothing of its memory.")
        return []
    row = _known(AMD, chip, vram[0])
    if row.kind == "unified" if row else vram[0] <= GIB:
        return [_amd_unified(chip, vram, gtt, ram)]
    name = (probe.read(f"{folder}/product_name") or "").strip() or f"AMD GPU {chip}"
    device = row or Device(name=name, vendor="AMD", memory_bytes=vram[0], backends=OF_VENDOR["AMD"], source="sysfs")
    return [Found(device, vram[0], max(vram[0] - vram[1], 0), source="sysfs")]


Pool = tuple[int | None, int]
"""total and used bytes"""


def _amd_unified(chip: str, vram: Pool, gtt: Pool, ram: Ram) -> Found:
    """Graphics in the processor: a large carve-out is memory of its own, else the host's is mapped (GTT)."""
    whole = (ram[0] or 0) + (vram[0] or 0)
    device = _known(AMD, chip, whole) or Device(name=f"AMD GPU {chip}", vendor="AMD", kind="unified", backends=OF_VENDOR["AMD"], source="sysfs")
    carved = (vram[0] or 0) > (gtt[0] or 0)
    total, used = (vram[0] or 0, vram[1]) if carved else (gtt[0] or 0, gtt[1])
    if carved:
        device = replace(device, kind="gpu", memory_bytes=total)
    elif device.memory_bytes is None:
        device = replace(device, memory_bytes=ram[0] or total)
    return Found(device, total, max(total - used, 0), source="sysfs")


def _intel(probe: Probe, folder: str, ram: Ram, notes: list[str]) -> list[Found]:
    """What is free on Intel's GPUs is not told without its own library."""
    chip = (probe.read(f"{folder}/device") or "").strip()
    local = _number(probe, f"{folder}/lmem_total_bytes") or _largest_bar(probe.read(f"{folder}/resource") or "")
    device = _known(INTEL, chip, local)
    if device is None:
        return []  # graphics of a processor that no engine is run on
    memory = device.memory_bytes or ((ram[0] or 0) // 2 if device.kind == "unified" else local)
    if not memory:
        return []
    notes.append(f"What is free on {device.name} cannot be told by sysfs: all of it is counted.")
    return [Found(device if device.memory_bytes else replace(device, memory_bytes=ram[0]), memory, None, source="sysfs")]


def _largest_bar(text: str) -> int | None:
    """The largest window into the card: its memory, where the whole of it can be mapped."""
    spans = re.findall(r"^0x([0-9a-f]+) 0x([0-9a-f]+)", text, re.MULTILINE)
    return max((int(end, 16) - int(start, 16) + 1 for start, end in spans if int(end, 16)), default=0) or None


def _named_by_amdsmi(probe: Probe, found: list[Found]) -> tuple[Found, ...]:
    """The names that amdsmi knows, where it is there and sees as many GPUs."""
    nameless = [gpu for gpu in found if gpu.device.name.startswith("AMD GPU 0x")]
    amdsmi = probe.module("amdsmi") if nameless else None
    names = _amdsmi_names(amdsmi) if amdsmi else []
    if len(names) != len([gpu for gpu in found if gpu.device.vendor == "AMD"]):
        return tuple(found)
    by_order = iter(names)
    return tuple(_renamed(gpu, next(by_order)) if gpu.device.vendor == "AMD" else gpu for gpu in found)


def _amdsmi_names(amdsmi: Any) -> list[str]:
    # amdsmi raises errors of its own, which name no base that is there on every version
    try:
        amdsmi.amdsmi_init()
        return [str(amdsmi.amdsmi_get_gpu_asic_info(handle)["market_name"]) for handle in amdsmi.amdsmi_get_processor_handles()]
    except Exception:
        return []


def _renamed(gpu: Found, name: str) -> Found:
    from tonnage.hardware.detect_nvidia import known

    if not gpu.device.name.startswith("AMD GPU 0x"):
        return gpu
    device = known(name, gpu.total_bytes)
    return replace(gpu, device=device if device.vendor == "AMD" else replace(gpu.device, name=name), source="sysfs and amdsmi")
