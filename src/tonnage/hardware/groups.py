"""Which group of the speed model a device belongs to, and what share of its bandwidth decoding reaches there (data/speed.json)."""

from functools import cache
from typing import Any

from tonnage import data
from tonnage.calculators.ram import EXPERTS, STREAMING
from tonnage.hardware.types import Device

HBM = ("6.0", "7.0", "8.0", "9.0", "10.0", "10.3")
"""compute capabilities of NVIDIA's chips with stacked memory"""
GB10 = "12.1"


@cache
def table() -> Any:
    """The packaged constants of speed."""
    return data.load_json("speed.json")


def group_name(device: Device, backend: str) -> str:
    """The group of the table that behaves like the device."""
    if backend == "cuda":
        return "cuda-gb10" if device.compute_capability == GB10 else "cuda-hbm-2024" if device.compute_capability in HBM else "cuda"
    if backend in ("vulkan", "rocm"):
        return f"apu-{backend}" if device.kind == "unified" else backend
    return backend


def decoding_share(device: Device | None, backend: str) -> float | None:
    """The share of its bandwidth at which weights are read; None for a device that is known by its size alone."""
    if device is None or not device.is_known or not device.bandwidth:
        return None
    row = table()["groups"].get(group_name(device, backend))
    return 1 / row["decode"][0] if row else None


def host_share(experts: bool) -> float:
    """The share of a kit's peak at which the CPU reads: experts slower than all else."""
    return STREAMING * EXPERTS if experts else 1 / table()["groups"]["cpu"]["decode"][0]
