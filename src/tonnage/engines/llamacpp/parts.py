"""The lines of an answer: every buffer that llama.cpp allocates, per device."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache

from tonnage.answer import Band, DeviceAnswer, Part
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.compute import compute_by_device
from tonnage.engines.llamacpp.extras import attached_parts, draft_parts, server_parts
from tonnage.engines.llamacpp.output import output_bytes
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.runtime import runtime_part
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.settings import UNPROVEN_BACKENDS, Settings
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.frozen import replace
from tonnage.hardware.types import Budget, Deduction, Device
from tonnage.model.types import NOTHING, Attached, Model, Tensor
from tonnage.question import Question

HELD = "held by the GPU"
"""what a host lacks of a memory that it shares with the GPU"""

UNPROVEN_BAND = 0.03
"""share by which a buffer may differ on a backend whose sizes were not measured: CUDA's rules are used for it"""


def parts_by_device(
    model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, attached: Attached
) -> Mapping[int, Sequence[Part]]:
    """Every part on its device, the host as -1; parts of no bytes are left out."""
    if attached is NOTHING:
        return _alone(model, Same(tensors), settings, placement)
    return _parts(model, tensors, settings, placement, attached)


@lru_cache(maxsize=64)
def _alone(model: Model, same: Same, settings: Settings, placement: Placement) -> Mapping[int, Sequence[Part]]:
    """The parts of a model with nothing besides: the same on every GPU that holds all of it, so many devices ask for them."""
    return _parts(model, same.tensors, settings, placement, NOTHING)


def _parts(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, attached: Attached) -> Mapping[int, Sequence[Part]]:
    lines: dict[int, list[Part]] = defaultdict(list)

    def add(device: int, part: str, nbytes: int, basis: str = "rule", error: Band | None = None, held: str | None = None) -> None:
        if nbytes:
            lines[device].append(Part(part, nbytes, basis, error, part, held or ("gpu" if device != HOST else "allocated")))

    basis = "file" if model.basis == "file" and tensors is model.tensors else "rule"
    for device, nbytes in sorted(weights_by_device(model, tensors, placement, False).items()):
        add(device, "weights", nbytes, basis, held=_weights_held(device, placement, settings))
    for (part, device), nbytes in sorted(cache_by_device(model, settings, placement).items()):
        add(device, part, nbytes)
    for device, computed in sorted(compute_by_device(model, tensors, settings, placement).items()):
        add(device, "compute", computed.bytes, computed.basis, computed.error, held=_pinned(device, placement))
    add(HOST, "output", output_bytes(model, settings), held=_pinned(HOST, placement))
    for device, more in (*draft_parts(model, tensors, settings, placement), *attached_parts(attached, settings, placement)):
        lines[device].append(more)
    lines[HOST].extend(server_parts(model, settings))
    return {device: [_assumed(part) for part in parts] for device, parts in lines.items()} if model.basis == "assumed" else lines


ASSUMED_BANDS = {"weights": 0.08, "compute": 0.6}
"""shares by which parts of a model of bare numbers may be off: recipes give 2 to 8 % more or less to models of one size, and
the compute buffer depends on widths that were guessed"""


def _assumed(part: Part) -> Part:
    more = round(part.bytes * ASSUMED_BANDS.get(part.part, 0))
    return replace(part, basis="assumed", error=Band(-more, more) if more else part.error)


def _weights_held(device: int, placement: Placement, settings: Settings) -> str:
    if device != HOST:
        return "gpu"
    return "mapped" if settings.mmap else "pinned" if placement.devices else "allocated"


def _pinned(device: int, placement: Placement) -> str:
    return "gpu" if device != HOST else "pinned" if placement.devices else "allocated"


def device_answers(lines: Mapping[int, Sequence[Part]], gpus: Sequence[Budget], host: Budget, settings: Settings) -> tuple[DeviceAnswer, ...]:
    """The GPUs in order, then the host; what lies in a unified memory is not there for the host."""
    proven = settings.backend not in UNPROVEN_BACKENDS
    answers = []
    for i, gpu in enumerate(gpus):
        runtime = runtime_part(gpu, settings.backend)
        parts = [part if proven else _widened(part) for part in lines.get(i, ())]
        answers.append(_answer(gpu, [*parts, *([runtime] if runtime else [])]))
    # several unified memories are several machines: the host shares one of them
    shared = max((answer.total_bytes for answer in answers if answer.kind == "unified"), default=0)
    if shared and host.usable_bytes is not None:
        taken = Deduction(HELD, min(shared, host.usable_bytes), "rule", "unified memory")
        host = replace(host, usable_bytes=host.usable_bytes - taken.bytes, deductions=(*host.deductions, taken))
    return (*answers, _answer(host, lines.get(HOST, ())))


def _answer(budget: Budget, parts: Sequence[Part]) -> DeviceAnswer:
    return DeviceAnswer(budget.name, budget.kind, tuple(parts), budget.capacity_bytes, budget.usable_bytes, budget.deductions)


def host_of(question: Question, gpus: Sequence[Budget]) -> Budget:
    """The host's memory: as the question says it, else that of a unified machine, else without a limit."""
    device = Device(name="host", kind="host")
    if question.ram:
        from tonnage.hardware.ram import parse_ram

        ram = parse_ram(question.ram)
        if ram.bytes is None or ram.usable_bytes is None:
            return Budget(device, None, None, None)
        taken = Deduction("in use now", ram.bytes - ram.usable_bytes, "measured")
        return Budget(device, ram.bytes, ram.usable_bytes, ram.usable_bytes, (taken,) if taken.bytes else ())
    shared = next((gpu for gpu in gpus if gpu.kind == "unified"), None)
    if shared is None:
        return Budget(device, None, None, None)
    from tonnage.hardware.budget import host_share

    return host_share(shared)


def _widened(part: Part) -> Part:
    """The part with the band of a backend that is not proven."""
    more = round(part.bytes * UNPROVEN_BAND)
    low, high = (part.error.low, part.error.high) if part.error else (0, 0)
    return Part(part.part, part.bytes, "fitted", Band(low - more, high + more), part.why, part.held)
