"""What of a device's memory an engine can use: capacity less what driver, system and others keep. Pure."""

from collections.abc import Callable, Iterator, Sequence

from tonnage.errors import QuestionError
from tonnage.frozen import dataclass
from tonnage.hardware.devices import BACKENDS, find_all
from tonnage.hardware.types import Budget, Deduction, Device
from tonnage.question import Question
from tonnage.units import GIB, MB, MIB

CUDA_RESERVE_MIB, CUDA_RESERVE_PER_GIB = 350, 2.2
"""nvidia-smi's total less CUDA's, where it was not seen: fitted to 11 cards of 8 to 180 GiB, at most 154 MiB off"""
CUDA_CONTEXT = 259 * MIB
"""of a process, before it loads anything: RTX 4070 Laptop, llama.cpp pull request 20184; 120 to 550 MB by card (pull request 20595)"""
ECC_SHARE = 16
WDDM_SHARE = 0.057
"""what Windows and its desktop keep: 0.053 of an RTX 4090 (22,994 of 24,564 MiB free), 0.061 of an RTX 5060 Ti (15,055 of 16,311)"""
DISPLAY = 650 * MIB
SYSTEM = 4 * GIB
STRIX_HALO_GTT = 63_969 * MIB
MACOS_26 = {16: 12713.12, 18: 14302.25, 32: 26800.60, 36: 30150.67, 48: 40200.90, 64: 55662.79, 128: 115448.73}
"""recommendedMaxWorkingSetSize in decimal MB by GiB of memory, as ggml's logs print it"""
MACOS_15_SMALL, MACOS_15_LARGE = 2 / 3, 3 / 4
"""macOS 13 to 15: up to 36 GiB, and above"""


@dataclass(frozen=True, slots=True)
class System:
    """What a budget depends on besides the device."""

    os: str = "linux"
    """linux, windows, macos (26 and later) or macos15 (13 to 15)"""
    display: bool = False
    """a display hangs on the device"""
    wired_limit: int | None = None
    """share of a unified memory that the GPU may take: iogpu.wired_limit_mb, ttm.pages_limit or the carve-out, in bytes"""


LINUX = System()
OTHERS = "in use by others"
Rows = Iterator[Deduction]


def budget(device: Device, system: System = LINUX, in_use: int = 0) -> Budget:
    """Capacity, usable and free memory of one device; each byte between them is a row with its source."""
    capacity = device.memory_bytes if device.memory_bytes is not None else device.free_bytes
    if capacity is None:
        return Budget(device, None, None, None)
    rows = [row for row in (*_kept(device, system), *_others(in_use)) if row.bytes]
    usable = max(capacity - sum(row.bytes for row in rows), 0)
    free = max(usable - _context(device), 0) if device.free_bytes is None else usable
    return Budget(device, device.memory_bytes, usable, free, tuple(rows))


def host_share(unified: Budget) -> Budget:
    """What the host has of a unified memory, before the GPU takes any: CUDA maps all that the system leaves, others a share of it."""
    memory = unified.device.memory_bytes or 0
    kept = unified.deductions if unified.backend == "cuda" else tuple(row for row in unified.deductions if row.what == OTHERS)
    kept = kept if unified.backend == "cuda" else (*kept, Deduction("the system itself", min(SYSTEM, memory // 8), "assumed"))
    left = max(memory - sum(row.bytes for row in kept), 0)
    return Budget(Device(name="host", kind="host"), memory, left, left, kept)


def budgets_of(question: Question) -> tuple[Budget, ...]:
    """The budgets of the question's devices, in order; none where it names none."""
    devices = find_all(question.device or ())
    taken = _taken(question.in_use or (), len(devices))
    return tuple(
        budget(device, System(os_of(question), bool(question.display) and i == 0, _limit(question.wired_limit)), nbytes)
        for i, (device, nbytes) in enumerate(zip(devices, taken, strict=True))
    )


def os_of(question: Question) -> str:
    """The operating system: as asked; else macOS for Apple's machines, Linux for all others."""
    apple = question.os is None and question.device and all(device.vendor == "Apple" for device in find_all(question.device))
    return question.os or ("macos" if apple else "linux")


def backend_of(question: Question) -> str:
    """What the engine computes with: as asked, else the first backend that all devices know, else CUDA.

    Raises QuestionError where a device does not know the backend that was asked for, or no backend is common to all.
    """
    if not question.device or question.backend == "cpu":
        return question.backend or "cuda"
    known = [device for device in find_all(question.device) if device.backends]
    common = [name for name in BACKENDS if all(name in device.backends for device in known)] if known else list(BACKENDS)
    if question.backend is None and common:
        return common[0]
    if question.backend in common or not any(device.is_known for device in known):
        return question.backend or "cuda"
    told = "; ".join(f"{device.name} computes with {' or '.join(device.backends)}" for device in {device.name: device for device in known}.values())
    raise QuestionError(f"{f'backend={question.backend}' if question.backend else 'device: no backend runs on all of them'}: {told}", common)


def _taken(in_use: Sequence[int], count: int) -> list[int]:
    """Bytes in use on each device: one size for all of them, or one for each."""
    if len(in_use) not in (0, 1, count):
        raise QuestionError(f"in_use has {len(in_use)} sizes for {count} devices: give one, or one for each")
    return list(in_use) * count if len(in_use) == 1 else list(in_use) or [0] * count


def _limit(wired_limit: int | None) -> int | None:
    """The limit in bytes: a bare number as sysctl shows it is MiB, and its 0 is the default."""
    return wired_limit * MIB if wired_limit and wired_limit < 16 * MIB else wired_limit or None


def _context(device: Device) -> int:
    """What a process has taken when the engine asks how much is free."""
    return CUDA_CONTEXT if device.is_known and device.backend == "cuda" else 0


# --- what is kept ---------------------------------------------------------------------------------


def _kept(device: Device, system: System) -> Rows:
    if device.free_bytes is not None:
        yield Deduction("in use now, or kept by the driver", max((device.memory_bytes or device.free_bytes) - device.free_bytes, 0), "measured")
    elif device.kind == "unified":
        yield from _UNIFIED.get(device.vendor, _shared)(device, system)
    else:
        yield from _card(device, system)


def _others(in_use: int) -> Rows:
    yield Deduction(OTHERS, in_use, "given", "in_use")


def _card(device: Device, system: System) -> Rows:
    """A card with memory of its own."""
    memory = device.memory_bytes or 0
    ecc = memory // ECC_SHARE if device.ecc else 0
    driver = device.driver_bytes or memory - ecc
    yield Deduction("inline ECC, 1/16", ecc, "measured", "T4, A10, A40, L4, L40S: nvidia-smi in public logs")
    yield Deduction("below the label", memory - ecc - driver, device.driver_basis or "given", device.source)
    if system.os == "windows" and device.is_known:
        yield Deduction("Windows and its desktop", round(driver * WDDM_SHARE), "fitted", "5.3 % of an RTX 4090, 6.1 % of an RTX 5060 Ti in logs")
        return
    if device.vendor == "NVIDIA":
        yield _cuda_reserve(device, driver)
    if system.display:
        yield Deduction("display", DISPLAY, "assumed", "0.3 to 1 GiB")


def _cuda_reserve(device: Device, driver: int) -> Deduction:
    if device.cuda_bytes is not None:
        return Deduction("CUDA's reserve", driver - device.cuda_bytes, "measured", device.source)
    fitted = round((CUDA_RESERVE_MIB + CUDA_RESERVE_PER_GIB * driver / GIB) * MIB)
    return Deduction("CUDA's reserve", fitted, "fitted", "nvidia-smi's total less CUDA's on 11 cards (256 to 729 MiB), at most 154 MiB off")


def _apple(device: Device, system: System) -> Rows:
    """Metal's recommended working set, or the limit that was set in its place."""
    memory = device.memory_bytes or 0
    if system.wired_limit is not None:
        yield Deduction("above iogpu.wired_limit_mb", max(memory - system.wired_limit, 0), "given", "wired_limit")
        return
    limit, basis, source = apple_limit(memory, system.os)
    yield Deduction("above Metal's limit", memory - limit, basis, source)


def apple_limit(memory: int, os: str = "macos") -> tuple[int, str, str]:
    """Bytes that the GPU of a Mac may take by default, the basis of that, and where it was read."""
    if os == "macos15":
        share = MACOS_15_SMALL if memory <= 36 * GIB else MACOS_15_LARGE
        return round(memory * share), "measured", "macOS 13 to 15: 2/3 up to 36 GB, 3/4 above (16 GB M4 10.67 GiB, 96 GB 73,728 MiB in logs)"
    seen = MACOS_26.get(memory // GIB) if memory % GIB == 0 else None
    if seen is not None:
        return round(seen * MB), "measured", "macOS 26: recommendedMaxWorkingSetSize in ggml's log"
    return round(memory * _share(memory / GIB)), "assumed", "macOS 26: not seen for this size, taken between its neighbours"


def _share(gib: float) -> float:
    """Metal's share of a size that was not seen: on a line between its neighbours; below 16 GiB two thirds."""
    sizes = list(MACOS_26)
    shares = [MACOS_26[size] * MB / (size * GIB) for size in sizes]
    if gib < sizes[0]:
        return MACOS_15_SMALL
    above = next((i for i, size in enumerate(sizes) if size >= gib), None)
    if above is None:
        return shares[-1]
    low, high = sizes[above - 1], sizes[above]
    return shares[above - 1] + (shares[above] - shares[above - 1]) * (gib - low) / (high - low)


def _shared(device: Device, system: System) -> Rows:
    """Graphics that map the host's memory: half of it by default (GTT on Linux, shared memory on Windows)."""
    memory = device.memory_bytes or 0
    if system.wired_limit is not None:
        yield Deduction("above the GPU's limit", max(memory - system.wired_limit, 0), "given", "wired_limit (ttm.pages_limit or the carve-out)")
    elif device.arch == "rdna3.5" and memory == 128 * GIB and system.os != "windows":
        yield Deduction("above GTT's default", memory - STRIX_HALO_GTT, "measured", "63,969 MiB on a 128 GB machine; ttm.pages_limit raises it")
    else:
        yield Deduction("above the GPU's default share, half", memory // 2, "recalled", "GTT on Linux, VGM on Windows; both can be raised")


def _cuda_unified(device: Device, system: System) -> Rows:
    """GB10 and Jetson: CUDA maps the whole memory, which the system lives in too."""
    memory = device.memory_bytes or 0
    if device.cuda_bytes is not None:
        yield Deduction("below the label", memory - device.cuda_bytes, "measured", "122,501 MiB in a llama.cpp log; nvidia-smi tells nothing")
    yield Deduction("the system itself", min(SYSTEM, memory // 8), "assumed", "4 to 8 GiB on a machine of 128 GB")


_UNIFIED: dict[str, Callable[[Device, System], Rows]] = {"Apple": _apple, "NVIDIA": _cuda_unified}
