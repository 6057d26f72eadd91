"""What a single GPU needs with the experts, or all, of more and more blocks in RAM: two walks and a sum, for lists of many devices.

The graph takes about the same whichever blocks are in RAM, and never more than where all of them are: a rung may ask for a block more
than is needed where few are moved, never for less (a test holds it to that).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.engines.llamacpp import answer
from tonnage.engines.llamacpp.parts import HELD, UNPROVEN_BAND
from tonnage.engines.llamacpp.plan.ledger import Ledger, ledger_of
from tonnage.engines.llamacpp.settings import UNPROVEN_BACKENDS, resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.frozen import replace
from tonnage.model.types import Attached, Model
from tonnage.question import Question
from tonnage.units import GIB


class Rung(NamedTuple):
    """One step: a flag, and what it comes to."""

    flag: str
    gpu: int
    """bytes on the GPU at the upper end of the band"""
    host: int
    """bytes of host memory at the start"""

    def __str__(self) -> str:
        return f"{self.flag} ({self.host / GIB:.0f} GiB of RAM)"


def least(climbed: Iterable[Rung], found: Estimate) -> Rung | None:
    """The first rung that the devices of an answer hold with the margin; None where none does, or the answer has no GPU."""
    gpu, host = found.devices[0], found.devices[-1]
    if gpu.kind == "host" or gpu.usable_bytes is None:
        return None
    room, left = gpu.usable_bytes - int(found.question.get("margin") or 0), host.usable_bytes
    for rung in climbed:
        # what the host has of a unified memory is what the GPU leaves of it
        if rung.gpu <= room and (left is None or rung.host + (rung.gpu if gpu.kind == "unified" else 0) <= left + _taken(host)):
            return rung
    return None


def _taken(host: DeviceAnswer) -> int:
    return sum(row.bytes for row in host.deductions if row.what == HELD)


def rungs(question: Question, model: Model, attached: Attached) -> Iterator[Rung]:
    """Experts of more and more blocks in RAM, the fewest first, then whole layers; of a question about one GPU that places nothing itself."""
    settings = resolve(question, model)
    ledger = ledger_of(model, stored_tensors(model, recipe_of(question, model), question.mtp), settings, 0)
    wider = 1 + (UNPROVEN_BAND if settings.backend in UNPROVEN_BACKENDS else 0)
    host = _at_start(answer(question, model, attached).devices[-1])
    if ledger.has_experts:
        bare = _most(answer(replace(question, cpu_moe=True), model, attached).devices[0])
        yield from (Rung(flag, bare + round(kept * wider), host + moved) for flag, kept, moved in _experts(ledger))
    bare = _most(answer(replace(question, gpu_layers=0), model, attached).devices[0])
    yield from (Rung(flag, bare + round(kept * wider), host + moved) for flag, kept, moved in _layers(ledger))


Step = tuple[str, int, int]
"""a flag, the bytes that stay beside what always does, and those that move"""


def _experts(ledger: Ledger) -> Iterator[Step]:
    sizes = [(i, block.unit_bytes) for i, block in enumerate(ledger.blocks) if block.experts]
    for n, (i, _) in enumerate(sizes, 1):
        kept = sum(nbytes for _, nbytes in sizes[n:])
        yield f"-ncmoe {i + 1}" if kept else "-cmoe", kept, sum(nbytes for _, nbytes in sizes[:n])


def _layers(ledger: Ledger) -> Iterator[Step]:
    sizes = [block.core + block.unit_bytes for block in ledger.blocks]
    for moved in range(1, len(sizes) + 1):
        yield f"-ngl {len(sizes) + 1 - moved}", ledger.output + sum(sizes[moved:]), sum(sizes[:moved])


def _most(device: DeviceAnswer) -> int:
    return device.total_bytes + (device.error.high if device.error else 0)


def _at_start(device: DeviceAnswer) -> int:
    return sum(part.bytes for part in device.parts if part.held != "reserved")
