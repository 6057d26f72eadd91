"""One model over many devices: which hold it, with how much to spare, and what would make it fit. Pure.

Devices of the same memory and backend are estimated once. Contexts and quants that would fit are read off curves of a
few estimates, which all devices share; `solve` finds the exact value for one device.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from tonnage.answer import Estimate
from tonnage.errors import QuestionError, TonnageError, UnsupportedError
from tonnage.estimation import judged
from tonnage.frozen import dataclass, replace
from tonnage.hardware.devices import describe
from tonnage.hardware.types import Device
from tonnage.model.types import NOTHING, Attached, Experts, Model
from tonnage.need import Point, at, crossing
from tonnage.question import Question
from tonnage.solve import STEP
from tonnage.verdict import slack

QUANTS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K", "IQ2_XXS")
"""recipes that are proposed, best first"""

LEAST_CONTEXT = 4096
"""tokens below which a smaller context is not proposed"""
NEVER = 2**63
"""bytes: more than any memory"""
KNOTS = 9
"""contexts at which the curve is estimated; it is straight between them but for rounding (a test holds it to that)"""


@dataclass(frozen=True, slots=True)
class Row:
    """A device, and how the model fits it."""

    device: Device
    verdict: str
    spare_bytes: int
    """beyond the margin on the tightest memory; negative where so much is short"""
    usable_bytes: int
    needed_bytes: int
    max_context: int
    """tokens, a multiple of 1,024 read off the curve; 0 where not even the least fits"""
    remedy: str
    """what would make it fit; empty where it does"""


def survey(question: Question, model: Model, devices: Iterable[Device], attached: Attached = NOTHING) -> tuple[Row, ...]:
    """A row for every device that has a memory of its own, in their order."""
    return tuple(_Survey(question, model, attached).rows(devices))


class _Survey:
    """Estimates that devices share: one per memory and backend, and the curves of need per backend."""

    def __init__(self, question: Question, model: Model, attached: Attached) -> None:
        self.question, self.model, self.attached = question, model, attached
        self.answers: dict[tuple[Any, ...], Estimate] = {}
        self.curves: dict[str, list[Point]] = {}
        self.quants: dict[str, list[tuple[str, int]]] = {}
        self.bare: dict[str, int] = {}

    def rows(self, devices: Iterable[Device]) -> Iterator[Row]:
        """Rows of the devices that the engine runs on; where it runs on none, the reason is raised."""
        refused: TonnageError | None = None
        found = False
        for device in devices:
            if device.kind == "host" or device.memory_bytes is None:
                continue
            try:
                yield self.row(device)
                found = True
            except (QuestionError, UnsupportedError) as error:
                refused = refused or error
        if refused and not found:
            raise refused

    def row(self, device: Device) -> Row:
        answer = self.answer(device)
        gpu = answer.devices[0]
        margin = int(answer.question.get("margin") or 0)
        spare = slack(answer.devices, margin) or 0
        needed, usable = gpu.total_bytes + (gpu.error.high if gpu.error else 0), gpu.usable_bytes or 0
        # what else stands against it, a unified machine's host among it, moves with the need
        room = needed + spare
        most = self.max_context(answer, room)
        word = answer.verdict.word if answer.verdict else ""
        return Row(device, word, spare, usable, gpu.total_bytes, most, self.remedy(answer, most, room) if spare < 0 else "")

    def answer(self, device: Device) -> Estimate:
        key = (device.memory_bytes, device.driver_bytes, device.cuda_bytes, device.kind, device.backends[:1], device.ecc, device.arch)
        if key not in self.answers:
            self.answers[key] = self.ask(device=(describe(device),))
        return self.answers[key]

    def ask(self, **changed: Any) -> Estimate:
        return judged(replace(self.question, **changed), self.model, self.attached)

    # --- what would fit -------------------------------------------------------------------------

    def max_context(self, answer: Estimate, room: int) -> int:
        """Tokens at which the need reaches `room`, on the curve of the answer's backend."""
        curve = self.curve(answer)
        tokens = crossing(curve, room)
        if tokens is None:
            return curve[-1].tokens
        return tokens // 1024 * 1024 or tokens // STEP * STEP

    def curve(self, answer: Estimate) -> list[Point]:
        """(context, need) from little to the model's own limit."""
        backend = str(answer.question["backend"])
        if backend not in self.curves:
            most = max(self.model.context, STEP)
            knots = sorted({max(most >> k, STEP) for k in range(KNOTS)})
            device = tuple(answer.question["device"])
            self.curves[backend] = [Point(n, _need(self.ask(device=device, context=n, n_ctx=None))) for n in knots]
        return self.curves[backend]

    def remedy(self, answer: Estimate, most: int, room: int) -> str:
        """Options that make it fit, the least loss first: a smaller context, a smaller quant or experts in RAM, or both of the first."""
        if LEAST_CONTEXT <= most < int(answer.question["context"]):
            return f"-c {most // 1024}K"
        best = next((name for name, need in self.smaller(answer) if need <= room), None)
        found = [f"-q {best}"] if best else []
        if self.need_without_experts(answer) <= room:
            found.append("-cmoe")
        saved = at(self.curve(answer), int(answer.question["context"])) - at(self.curve(answer), LEAST_CONTEXT)
        if not found and saved > 0:
            best = next((name for name, need in self.smaller(answer) if need - saved <= room), None)
            found = [f"-q {best} -c {LEAST_CONTEXT // 1024}K"] if best else []
        return " or ".join(found)

    def need_without_experts(self, answer: Estimate) -> int:
        """Need with all experts in RAM; without end where there are none."""
        if not any(isinstance(layer.ffn, Experts) for layer in self.model.layers):
            return NEVER
        backend = str(answer.question["backend"])
        if backend not in self.bare:
            self.bare[backend] = _need(self.ask(device=tuple(answer.question["device"]), cpu_moe=True))
        return self.bare[backend]

    def smaller(self, answer: Estimate) -> list[tuple[str, int]]:
        """(recipe, need) of the recipes below the answer's, best first."""
        backend = str(answer.question["backend"])
        if backend not in self.quants:
            self.quants[backend] = list(self._smaller(answer)) if self.model.basis != "file" else []
        return self.quants[backend]

    def _smaller(self, answer: Estimate) -> Iterator[tuple[str, int]]:
        for name in QUANTS:
            try:
                found = self.ask(device=tuple(answer.question["device"]), quant=name)
            except UnsupportedError:
                continue
            if found.weights.tensor_bytes < answer.weights.tensor_bytes:
                yield name, _need(found)


def _need(answer: Estimate) -> int:
    """Bytes on the first GPU, at the upper end of its band."""
    gpu = answer.devices[0]
    return gpu.total_bytes + (gpu.error.high if gpu.error else 0)


