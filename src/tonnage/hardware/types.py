"""What a device is, and what of it can be used. Sizes are bytes, bandwidths bytes per second."""

from collections.abc import Mapping

from tonnage.frozen import dataclass, field


@dataclass(frozen=True, slots=True)
class Device:
    """Something with memory: a card, a machine of unified memory, or a kind of host memory."""

    name: str
    kind: str = "gpu"
    """gpu, unified (one memory for CPU and GPU) or host"""
    vendor: str = ""
    """NVIDIA, AMD, Intel, Apple; empty for a plain size"""
    series: str = ""
    memory_bytes: int | None = None
    """as the label counts it; None where it is not known"""
    driver_bytes: int | None = None
    """the total that the driver reports (nvidia-smi and its like)"""
    driver_basis: str = ""
    """measured (in a public log) or recalled; empty where there is no such total"""
    cuda_bytes: int | None = None
    """the total that a CUDA program saw on this very device"""
    free_bytes: int | None = None
    """what is free now: measured or given, and exact"""
    backends: tuple[str, ...] = ()
    """what engines compute with on it, the usual one first; empty where nothing is known of it"""
    ecc: bool = False
    """inline ECC is on by default and takes 1/16 of the memory"""
    bandwidth: int | None = None
    tflops: Mapping[str, float] = field(default_factory=dict)
    """dense, by type: fp32, fp16 (fp32 accumulate), fp16_fast (fp16 accumulate), fp8, fp4"""
    watts: int | None = None
    pcie_gen: int | None = None
    pcie_lanes: int | None = None
    link: str = ""
    link_bandwidth: int | None = None
    compute_capability: str = ""
    arch: str = ""
    cores: int | None = None
    """multiprocessors, compute units or GPU cores"""
    year: int | None = None
    price: float | None = None
    """what its owner says that it costs"""
    usual: int = 0
    """above 0 on the one that a name means where several bear it"""
    confidence: str = "given"
    """high, medium or low; `given` where the question says it"""
    source: str = ""
    aliases: tuple[str, ...] = ()
    note: str = ""
    channels: int | None = None
    mt_s: int | None = None
    """host memory: mega-transfers per second"""
    instead_of: tuple[str, ...] = ()
    """devices that the same words may mean: this one was taken"""

    @property
    def backend(self) -> str | None:
        """The usual backend; None where nothing is known of the device."""
        return self.backends[0] if self.backends else None

    @property
    def is_known(self) -> bool:
        """Whether this is a device with a maker, and not a mere size."""
        return bool(self.vendor)


@dataclass(frozen=True, slots=True)
class Deduction:
    """Memory that a device has, and an engine cannot use."""

    what: str
    bytes: int
    basis: str
    """measured (seen in a log on such a device), fitted, recalled, assumed or given"""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """What can be used of a device: `usable_bytes` = `capacity_bytes` less all deductions."""

    device: Device
    capacity_bytes: int | None
    """as labelled; None where only the free memory is known, or no limit"""
    usable_bytes: int | None
    """what an engine and all that it brings may take; None without a limit"""
    free_bytes: int | None
    """what the driver tells the engine when it starts: llama.cpp splits layers by it"""
    deductions: tuple[Deduction, ...] = ()

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device.name

    @property
    def kind(self) -> str:
        """gpu, unified or host."""
        return self.device.kind

    @property
    def backend(self) -> str | None:
        """The device's usual backend."""
        return self.device.backend
