"""The most that several GPUs hold together when layers are shared out by hand: llama.cpp's own split goes by free memory alone.

Layers go to the devices in their order (`-ts`), so that filling one after the other is the best that can be done. What the engine takes
besides weights and cache is learnt from walks, and the value that is answered was walked.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.engines.llamacpp import answer, placement_of
from tonnage.engines.llamacpp.plan.ledger import Ledger, ledger_of
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.frozen import replace
from tonnage.model.types import Attached, Model
from tonnage.question import Question

WALKS = 7

Asked = Callable[[int], Question]
"""value -> the question with it"""
Counts = tuple[int, ...]


class Widest(NamedTuple):
    """The largest value, and how the layers are shared out for it."""

    value: int
    split: Counts
    answer: Estimate


def widest(asked: Asked, least: int, most: int, model: Model, attached: Attached) -> Widest | None:
    """The largest of least..most that fits with everything on the GPUs, the margin kept; None where no split holds the least."""
    return _Search(asked, model, attached).run(least, most)


class _Search:
    """One search; `reserve` is what every GPU needs besides weights and cache, by the last walk."""

    def __init__(self, asked: Asked, model: Model, attached: Attached) -> None:
        self.asked, self.model, self.attached = asked, model, attached
        self.reserve: list[int] = []
        self.room: list[int] = []
        self.ledger = lru_cache(maxsize=None)(self._ledger)

    def run(self, least: int, most: int) -> Widest | None:
        best: Widest | None = None
        self._learn(least, answer(self.asked(least), self.model, self.attached), None)
        seen: set[tuple[int, Counts]] = set()
        for _ in range(WALKS):
            value = self._largest(best.value if best else least, most)
            counts = self._filled(value)
            if counts is None or (value, counts) in seen:
                break
            seen.add((value, counts))
            found = answer(self._split(value, counts), self.model, self.attached)
            self._learn(value, found, counts)
            if fits(found) and (best is None or value > best.value):
                best = Widest(value, counts, found)
        return best

    def _split(self, value: int, counts: Counts) -> Question:
        return replace(self.asked(value), tensor_split=tuple(map(float, counts)))

    def _ledger(self, value: int) -> Ledger:
        question = self.asked(value)
        tensors = stored_tensors(self.model, recipe_of(question, self.model), question.mtp)
        return ledger_of(self.model, tensors, resolve(question, self.model), 0)

    def _learn(self, value: int, found: Estimate, counts: Counts | None) -> None:
        """Room of every GPU, and what was taken besides weights and cache."""
        margin, gpus = int(found.question["margin"]), found.devices[:-1]
        self.room = [(gpu.usable_bytes or 0) - margin for gpu in gpus]
        if counts is None:
            _, placement = placement_of(self.asked(value), self.model)
            counts = tuple(placement.layers.count(d) for d in range(len(gpus)))
        held = self._held(value, counts)
        self.reserve = [_most(gpu) - nbytes for gpu, nbytes in zip(gpus, held, strict=True)]

    def _held(self, value: int, counts: Counts) -> list[int]:
        """Bytes of blocks and output on every GPU."""
        sizes, found, at = self._sizes(value), [], 0
        for count in counts:
            found.append(sum(sizes[at : at + count]))
            at += count
        return found

    def _sizes(self, value: int) -> list[int]:
        ledger = self.ledger(value)
        return [*(block.core + block.unit_bytes for block in ledger.blocks), ledger.output]

    def _filled(self, value: int) -> Counts | None:
        """Each GPU filled before the next; None where the last cannot hold the rest."""
        sizes, at, counts = self._sizes(value), 0, []
        for room, reserve in zip(self.room, self.reserve, strict=True):
            left, first = room - reserve, at
            while at < len(sizes) and sizes[at] <= left:
                left -= sizes[at]
                at += 1
            counts.append(at - first)
        return tuple(counts) if at == len(sizes) else None

    def _largest(self, low: int, high: int) -> int:
        """By the ledger and what was last learnt; `low` where nothing more is promised."""
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._filled(middle) else (low, middle - 1)
        return low


def fits(found: Estimate) -> bool:
    """Whether every GPU keeps its margin, and host memory holds what it has at the start."""
    margin = int(found.question["margin"])
    gpus, host = found.devices[:-1], found.devices[-1]
    at_start = sum(part.bytes for part in host.parts if part.held != "reserved")
    return all(_most(gpu) + margin <= (gpu.usable_bytes or 0) for gpu in gpus) and (host.usable_bytes is None or at_start <= host.usable_bytes)


def _most(device: DeviceAnswer) -> int:
    """Bytes at the upper end of the band."""
    return device.total_bytes + (device.error.high if device.error else 0)


def words(split: Sequence[int]) -> str:
    """The flag."""
    return f"-ts {','.join(map(str, split))}"
