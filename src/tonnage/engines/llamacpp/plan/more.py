"""What more of the same machine would hold a question that no placement fits: host memory, or GPUs of the kind."""

from collections.abc import Iterator

from tonnage.engines.llamacpp import answer, gpus_of
from tonnage.engines.llamacpp.plan import plan
from tonnage.engines.llamacpp.plan.widest import fits, widest, words
from tonnage.engines.llamacpp.settings import resolve
from tonnage.errors import TonnageError
from tonnage.frozen import replace
from tonnage.hardware.ram import parse_ram
from tonnage.model.types import Attached, Model
from tonnage.question import Question
from tonnage.units import GIB

SIZES_GB = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
"""kits of memory that are sold"""
MOST_GPUS = 16


def more(question: Question, model: Model, attached: Attached) -> Iterator[str]:
    """The least host memory with which a plan fits, and the fewest GPUs of the kind that hold everything."""
    yield from _ram(question, model, attached)
    yield from _gpus(question, model, attached)


def _ram(question: Question, model: Model, attached: Attached) -> Iterator[str]:
    has = parse_ram(question.ram).bytes if question.ram else None
    if has is None or any(gpu.kind == "unified" for gpu in gpus_of(question, resolve(question, model))):
        return
    planned = plan(replace(question, ram=None), model, attached)
    size = next((gb for gb in SIZES_GB if planned and planned.checked.host <= gb * GIB and gb * GIB > has), None)
    if size:
        yield f"{size} GB of RAM"


def _gpus(question: Question, model: Model, attached: Attached) -> Iterator[str]:
    """GPUs that are alike alone: of unlike ones nobody knows which is wanted."""
    gpus = gpus_of(question, resolve(question, model))
    kinds = {(gpu.name, gpu.kind) for gpu in gpus}
    devices = question.device or ()
    if len(kinds) != 1 or not devices or (question.in_use and len(question.in_use) > 1):
        return
    ((name, kind),) = kinds
    room = (gpus[0].usable_bytes or 0) - int(answer(question, model, attached).question["margin"])
    if kind != "gpu" or room <= 0:
        return
    one = devices[0].removeprefix(f"{len(gpus)}x ") if len(devices) == 1 else devices[0]
    least = -(-_weights(question, model, attached) // room)
    for n in range(max(len(gpus) + 1, least), MOST_GPUS + 1):
        split = _split(replace(question, device=(one,) * n), model, attached)
        if split is not None:
            yield f"{n}x {name}{split and f' ({split})'}"
            return


def _weights(question: Question, model: Model, attached: Attached) -> int:
    parts = (part for device in answer(question, model, attached).devices[:-1] for part in device.parts)
    return sum(part.bytes for part in parts if part.part in ("weights", "kv", "state"))


def _split(question: Question, model: Model, attached: Attached) -> str | None:
    """How the layers have to be shared out: empty as llama.cpp does it by itself; None where no way holds them."""
    try:
        if fits(answer(question, model, attached)):
            return ""
        found = widest(lambda _: question, 1, 1, model, attached)
    except TonnageError:
        return None
    return words(found.split) if found else None
