"""What each place that bytes are read from can do: its bandwidth, and the constants of its kind."""

from collections.abc import Sequence
from typing import NamedTuple

from tonnage.calculators.ram import EXPERTS, STREAMING
from tonnage.calculators.transfer import links
from tonnage.hardware.groups import HBM, group_name
from tonnage.hardware.ram import Ram
from tonnage.hardware.types import Device
from tonnage.speed.constants import Band, Group, engine_group, group

EXPERTS_BAND = Band(0.8, 1.5)
"""measured over predicted for experts in RAM: eight machines at 0.37 to 0.67 of their bandwidth, 0.45 in the middle"""
UNPROVEN = Band(0.5, 1.6)
"""for hardware of which there are no rows"""


class Source(NamedTuple):
    """A place that bytes are read from."""

    name: str
    bandwidth: float
    """bytes a second at most"""
    group: Group
    two_dies: bool = False
    expert_rate: float = 0.0
    """bytes a second of experts in RAM; 0 where they are read like other weights"""
    tflops: float | None = None
    bus: float | None = None
    """bytes a second between host and device"""
    band: Band = UNPROVEN


def source_of(device: Device, backend: str, name: str = "", engine: str = "") -> Source | None:
    """A GPU or a unified machine under an engine (empty: llama.cpp); None where its bandwidth, or any run of the engine, is not known."""
    kind = engine_group(engine) if engine else group(group_name(device, backend))
    if not device.bandwidth or kind is None:
        return None
    return Source(
        name or device.name,
        float(device.bandwidth),
        kind,
        two_dies=device.vendor == "Apple" and "Ultra" in device.name,
        tflops=_tflops(device),
        bus=bus_of(device),
        band=kind.band if _is_measured(device, backend) else wider(kind.band),
    )


_MEASURED = {"cuda": ("NVIDIA",), "rocm": ("AMD",), "metal": ("Apple",), "vulkan": ("AMD",)}


def _is_measured(device: Device, backend: str) -> bool:
    """Whether machines of its kind are among the rows; of data-centre cards there are old builds alone."""
    return device.vendor in _MEASURED.get(backend, ()) and device.compute_capability not in HBM and not device.arch.startswith("cdna")


def wider(band: Band, other: Band = UNPROVEN) -> Band:
    """A band that holds both."""
    return Band(min(band.low, other.low), max(band.high, other.high))


def _tflops(device: Device) -> float | None:
    """The fastest 16-bit rate, or what there is instead."""
    return max((device.tflops[kind] for kind in ("fp32", "fp16", "fp16_fast") if kind in device.tflops), default=None)


def bus_of(device: Device) -> float | None:
    """What copies between host and device reach; None where the bus is not known, or there is none."""
    link = links().get(f"PCIe {device.pcie_gen}.0 x{device.pcie_lanes}")
    return link.typical_mb_s * 1e6 if link else None


def host_of(ram: Ram | None, gpus: Sequence[Device]) -> Source | None:
    """Host memory: as its kit says, or a unified machine's; None where its rate is not known."""
    bandwidth = ram.bandwidth if ram else None
    shared = next((gpu for gpu in gpus if gpu.kind == "unified" and gpu.bandwidth), None)
    peak = float(bandwidth or (shared.bandwidth if shared and shared.bandwidth else 0))
    if not peak:
        return None
    cpu = group("cpu")
    return Source("RAM", peak, cpu, expert_rate=peak * STREAMING * EXPERTS, band=cpu.band)
