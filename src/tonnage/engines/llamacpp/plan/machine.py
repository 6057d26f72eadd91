"""What a plan is made for: memories, what they hold and how fast they are read."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from tonnage.answer import DeviceAnswer
from tonnage.hardware.groups import decoding_share, host_share
from tonnage.units import GIB

GPU_EFFICIENCY, HOST_EFFICIENCY = 0.75, 0.7
"""share of the bandwidth that decoding reaches where a device is known by its size alone"""

BANDWIDTHS = ((8, 272), (12, 504), (16, 717), (24, 1008), (32, 1792), (48, 960), (80, 3350), (96, 1792), (141, 4800))
"""GB/s that are assumed of a GPU known by its GiB alone: those of a usual card of the size
(RTX 4060, 4070, 4080, 4090, 5090, RTX 6000 Ada, H100, RTX PRO 6000, H200; vendors' data sheets)"""

HOST_BANDWIDTH = 83 * 10**9
"""bytes/s that are assumed of host memory: two channels of DDR5-5200"""


class Memory(NamedTuple):
    """A memory: bytes that may be filled (None: no limit), bytes/s at its best, and the share of them that decoding reaches."""

    name: str
    free_bytes: int | None
    bandwidth: float
    efficiency: float
    assumed: bool = True
    """whether the bandwidth is that of a usual device of the size"""

    @property
    def rate(self) -> float:
        """Bytes that are really read in a second."""
        return self.bandwidth * self.efficiency


class Machine(NamedTuple):
    """The GPUs in the engine's order, and the host; `margin` bytes stay free on each GPU."""

    gpus: tuple[Memory, ...]
    host: Memory
    margin: int
    within_block: bool = False
    """a matrix may lie with its block or on the host, but on no other GPU"""

    def rate(self, device: int) -> float:
        """Bytes per second of a device, the host as -1."""
        return (self.host if device < 0 else self.gpus[device]).rate

    def holds(self, nbytes: int) -> bool:
        """Whether all memories together have so much room, the margins kept: no placement of more can fit."""
        room = [gpu.free_bytes and max(gpu.free_bytes - self.margin, 0) for gpu in self.gpus]
        every = [self.host.free_bytes, *room]
        return None in every or nbytes <= sum(n or 0 for n in every)

    @property
    def fastest_first(self) -> list[int]:
        """GPUs by their speed."""
        return sorted(range(len(self.gpus)), key=lambda d: -self.gpus[d].rate)


def machine_of(
    answers: Sequence[DeviceAnswer], told: Sequence[Any], host_bandwidth: float | None, margin: int, backend: str = "cuda", experts: bool = False
) -> Machine:
    """The machine of an answer's devices; `told` are the devices as described, which may know their bandwidth.

    Devices and kits that are known are read at the share that the speed model has for their kind, others at the assumed ones.
    """
    gpus = tuple(_gpu(answer, device, backend) for answer, device in zip(answers, told, strict=False))
    share = host_share(experts) if host_bandwidth and any(not gpu.assumed for gpu in gpus) else HOST_EFFICIENCY
    host = Memory("host", answers[-1].usable_bytes, host_bandwidth or HOST_BANDWIDTH, share, host_bandwidth is None)
    return Machine(gpus, host, margin)


def _bandwidth(device: Any) -> float | None:
    """What a description knows of it, or the device that a budget is for."""
    return getattr(device, "bandwidth", None) or getattr(getattr(device, "device", None), "bandwidth", None)


def _gpu(answer: DeviceAnswer, device: Any, backend: str) -> Memory:
    told = _bandwidth(device)
    size = answer.capacity_bytes or answer.usable_bytes or 0
    share = decoding_share(getattr(device, "device", device) if told else None, backend)
    return Memory(answer.name, answer.usable_bytes, told or assumed_bandwidth(size), share or GPU_EFFICIENCY, told is None)


def assumed_bandwidth(nbytes: int) -> float:
    """Bytes/s of a usual GPU of this size: of the first row that is not smaller, free memory being a little less than the size."""
    rows = [gbps for gib, gbps in BANDWIDTHS if nbytes <= gib * GIB]
    return 1e9 * (rows[0] if rows else BANDWIDTHS[-1][1])
