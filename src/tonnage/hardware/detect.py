"""What this machine has: GPUs, what is free on them and who holds it, and host memory. Reads by a `Probe` alone.

NVIDIA by NVML or nvidia-smi, AMD and Intel by sysfs (and amdsmi), Apple by sysctl, memory by /proc, psutil and cgroups.
What cannot be told is said in a note.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from tonnage.frozen import dataclass
from tonnage.hardware.types import Device

TIMEOUT_S = 10


class Ran(NamedTuple):
    """What a command gave."""

    code: int
    out: str


class Probe(NamedTuple):
    """The readers of a machine; tests give recorded ones."""

    system: str
    """linux, windows or macos"""
    read: Callable[[str], str | None]
    """text of a file; None where it cannot be read"""
    names: Callable[[str], Sequence[str]]
    """what a folder holds; nothing where it cannot be read"""
    run: Callable[[Sequence[str]], Ran | None]
    """a command; None where there is no such program"""
    module: Callable[[str], Any]
    """a package that may be there (pynvml, amdsmi, psutil); None where it is not"""
    env: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU."""

    pid: int
    name: str
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """A GPU of this machine."""

    device: Device
    total_bytes: int | None
    """as the driver reports it"""
    free_bytes: int | None
    holders: tuple[Holder, ...] = ()
    display: bool = False
    source: str = ""
    """who told: NVML, nvidia-smi, sysfs, amdsmi, sysctl"""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """All that was found."""

    os: str
    """linux, windows, macos or macos15"""
    gpus: tuple[Found, ...]
    ram_bytes: int | None
    ram_free_bytes: int | None
    wired_limit: int | None = None
    notes: tuple[str, ...] = ()


def detect(probe: Probe | None = None) -> Machine:
    """What the machine has; never raises: what cannot be told is a note."""
    from tonnage.hardware import detect_apple, detect_nvidia, detect_ram, detect_sysfs

    probe = probe or this_machine()
    notes: list[str] = []
    ram = detect_ram.memory(probe, notes)
    if probe.system == "macos":
        return detect_apple.machine(probe, ram, notes)
    nvidia = detect_nvidia.gpus(probe, ram, notes)
    others = detect_sysfs.gpus(probe, ram, bool(nvidia), notes)
    if not nvidia and not others:
        notes.append("No GPU was found: the answer is for the CPU.")
    return Machine(probe.system, (*nvidia, *others), *ram, notes=tuple(notes))


def this_machine() -> Probe:
    """The readers of the machine that runs this."""
    import os
    import sys

    system = {"darwin": "macos", "win32": "windows"}.get(sys.platform, "linux")
    return Probe(system, _read, _names, _run, _module, os.environ.get)


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1024 * 1024)
    except OSError:
        return None


def _names(path: str) -> Sequence[str]:
    import os

    try:
        return sorted(os.listdir(path))
    except OSError:
        return ()


def _run(words: Sequence[str]) -> Ran | None:
    import subprocess

    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
    except FileNotFoundError:
        return None
    except (OSError, subprocess.SubprocessError) as error:
        return Ran(-1, str(error))
    return Ran(done.returncode, done.stdout or done.stderr)


def _module(name: str) -> Any:
    # amdsmi loads a library as it is imported, and fails by whatever that raises
    try:
        return import_module(name)
    except Exception:
        return None
