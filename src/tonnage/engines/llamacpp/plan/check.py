"""A layout held against the engine's own rules: every buffer of every device, walked exactly."""

from typing import NamedTuple

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.engines.llamacpp import answer, placement_of
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.plan.fill import splits_of
from tonnage.engines.llamacpp.plan.ledger import KINDS, movables
from tonnage.engines.llamacpp.plan.machine import Machine
from tonnage.engines.llamacpp.plan.objective import seconds_per_token
from tonnage.engines.llamacpp.reads import Reads, reads_by_device
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.splits import splits
from tonnage.engines.llamacpp.weights import homes
from tonnage.model.types import Attached, Model, Tensor
from tonnage.question import Question


class Task(NamedTuple):
    """What is to be placed, and where it may go."""

    question: Question
    """with nothing said of the placement"""
    model: Model
    tensors: tuple[Tensor, ...]
    attached: Attached
    machine: Machine
    depth: int
    """tokens in the cache that a plan is judged at"""
    by_itself: Estimate
    """the answer to the question as it is"""


class Checked(NamedTuple):
    """A placed question and what it comes to, to the byte."""

    question: Question
    estimate: Estimate
    placement: Placement
    used: tuple[int, ...]
    """bytes on every GPU, at the upper end of the band"""
    host: int
    """bytes of host memory at the start"""
    reads: dict[int, Reads]
    splits: int
    seconds: float

    def over(self, machine: Machine) -> tuple[int, ...]:
        """Bytes of every GPU beyond its memory less the margin; negative where some are left."""
        free = (used if gpu.free_bytes is None else gpu.free_bytes for used, gpu in zip(self.used, machine.gpus, strict=True))
        return tuple(used + machine.margin - nbytes for used, nbytes in zip(self.used, free, strict=True))

    def fits(self, machine: Machine) -> bool:
        """Whether every device holds it and the margin."""
        return max(self.over(machine), default=0) <= 0 and (machine.host.free_bytes is None or self.host <= machine.host.free_bytes)


def check(task: Task, question: Question) -> Checked:
    """What a placed question takes and how long a token is."""
    return timed(task, hold(task, question, 0.0))


def timed(task: Task, held: Checked) -> Checked:
    """The same with what a token reads, and its time by that."""
    settings, placement = placement_of(held.question, task.model)
    reads = reads_by_device(task.model, task.tensors, settings, placement, task.depth)
    n = _pieces(task, settings, placement)
    seconds = seconds_per_token({device: read.total for device, read in reads.items()}, n, task.machine)
    return held._replace(reads=reads, splits=n, seconds=seconds)


def _pieces(task: Task, settings: Settings, placement: Placement) -> int:
    """Pieces of the graph: by the devices alone where that is the scheduler's own number."""
    if placement.devices and HOST not in placement.layers and (placement.devices == 1 or not placement.overrides):
        return splits_of(placement.layers, unit_homes(task, placement))
    return splits(task.model, task.tensors, settings, placement)


def hold(task: Task, question: Question, seconds: float) -> Checked:
    """What a placed question takes; the time of a token is known by the ledger, and reads are not counted."""
    found = task.by_itself if question == task.question else answer(question, task.model, task.attached)
    _, placement = placement_of(question, task.model)
    return Checked(question, found, placement, tuple(map(_most, found.devices[:-1])), _at_start(found.devices[-1]), {}, 0, seconds)


def _most(device: DeviceAnswer) -> int:
    """Bytes at the upper end of the band."""
    return device.total_bytes + (device.error.high if device.error else 0)


def _at_start(device: DeviceAnswer) -> int:
    """Bytes that a server takes before anything grows."""
    return sum(part.bytes for part in device.parts if part.held != "reserved")


def unit_homes(task: Task, placement: Placement) -> tuple[tuple[int, ...], ...]:
    """Devices of the matrices of every block that overrides can move, in the order of computing; none for a block that is not loaded."""
    found: dict[int, dict[str, int]] = {}
    movable = movables(task.tensors)
    for tensor, device in homes(task.model, task.tensors, placement, False):
        if tensor.name in movable and tensor.block is not None:
            found.setdefault(tensor.block, {})[movable[tensor.name]] = device
    return tuple(tuple(found[i][kind] for kind in KINDS if kind in found[i]) if i in found else () for i in range(len(task.model.layers)))


def mostly(devices: tuple[int, ...], otherwise: int) -> int:
    """The device that most are on."""
    return max(devices, key=devices.count) if devices else otherwise
