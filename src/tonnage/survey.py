"""One model over many devices: which hold it, with how much to spare, what would make it fit, how fast it is. Pure.

Devices of the same memory and backend are estimated once. Contexts, quants and layers in RAM that would fit are read off curves
of a few estimates, which all devices share; `solve` and `plan` find the exact value for one device.
"""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.errors import QuestionError, TonnageError, UnsupportedError
from tonnage.estimation import engine_of, judged
from tonnage.frozen import dataclass, replace
from tonnage.hardware.devices import asked_as
from tonnage.hardware.types import Device
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.need import Point, at, crossing
from tonnage.quant.recipes import ladder
from tonnage.question import Question
from tonnage.solve import RUNGS, STEP
from tonnage.verdict import placement_is_free, slack

QUANTS = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K", "IQ2_XXS")
"""recipes that are proposed, best first"""

LEAST_CONTEXT = 4096
"""tokens below which a smaller context is not proposed"""
KNOTS = 9
"""contexts at which the curve is estimated; it is straight between them but for rounding (a test holds it to that)"""

Kind = tuple[str, bool]
"""what curves are shared by: the backend, and whether the engine's own memory (`runtime`) is known and counted"""


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
    best_quant: str
    """of the recipes that are proposed the one with the most bits that fits with this context; empty where none does"""
    speed: Mapping[str, Any] | None
    """tokens per second at the least depth, with their band; None where it does not fit as asked, or no rule knows the device"""
    remedy: str
    """what would make it fit; empty where it does"""


def survey(question: Question, model: Model, devices: Iterable[Device], attached: Attached = NOTHING) -> tuple[Row, ...]:
    """A row for every device that has a memory of its own, in their order."""
    return tuple(_Survey(question, model, attached).rows(devices))


def survey_host(question: Question, model: Model, attached: Attached = NOTHING) -> Row:
    """The row of the host's memory, for a question about the CPU; QuestionError where its size is not known."""
    if not question.ram:
        raise QuestionError("backend=cpu: say the host's memory, as in --ram '64GB DDR5-6000 x2'")
    return _Survey(replace(question, device=None), model, attached).row(Device(name="host memory", kind="host"))


class _Survey:
    """Estimates that devices share: one per memory and backend, and the curves of need per kind."""

    def __init__(self, question: Question, model: Model, attached: Attached) -> None:
        self.question, self.model, self.attached = question, model, attached
        self.answers: dict[tuple[Any, ...], Estimate] = {}
        self.curves: dict[Kind, list[Point]] = {}
        self.rungs: dict[Kind, list[Any]] = {}
        self.quants: list[tuple[str, int]] | None = None
        self.work: dict[str, Any] = {}

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
        first = answer.devices[0]
        spare = slack(answer.devices, _margin(answer)) or 0
        # what else stands against it, a unified machine's host among it, moves with the need
        room = _need(answer) + spare
        most = self.max_context(answer, room)
        word = answer.verdict.word if answer.verdict else ""
        rung = self.rung(answer) if spare < 0 else None
        best = self.best_quant(answer, room)
        return Row(
            device,
            "offload" if rung and (first.free_bytes or 0) < 0 else word,
            spare,
            first.usable_bytes or 0,
            first.total_bytes,
            most,
            best,
            self.speed(device, answer) if word in ("fits", "tight") else None,
            self.remedy(answer, most, room, best, rung) if spare < 0 else "",
        )

    def answer(self, device: Device) -> Estimate:
        key = (device.memory_bytes, device.driver_bytes, device.cuda_bytes, device.kind, device.backends[:1], device.ecc, device.arch)
        if key not in self.answers:
            self.answers[key] = self.ask(device=_words(device))
        return self.answers[key]

    def ask(self, **changed: Any) -> Estimate:
        return judged(replace(self.question, **changed), self.model, self.attached)

    # --- what would fit -------------------------------------------------------------------------

    def max_context(self, answer: Estimate, room: int) -> int:
        """Tokens at which the need reaches `room`, on the curve of the answer's kind."""
        curve = self.curve(answer)
        tokens = crossing(curve, room)
        if tokens is None:
            return curve[-1].tokens
        return tokens // 1024 * 1024 or tokens // STEP * STEP

    def curve(self, answer: Estimate) -> list[Point]:
        """(context, need) from little to the model's own limit."""
        kind = _kind(answer)
        if kind not in self.curves:
            most = max(self.model.context, STEP)
            knots = sorted({max(most >> k, STEP) for k in range(KNOTS)})
            self.curves[kind] = [Point(n, _need(self.ask(device=_device(answer), context=n, n_ctx=None))) for n in knots]
        return self.curves[kind]

    def remedy(self, answer: Estimate, most: int, room: int, best: str, rung: str | None) -> str:
        """Options that make it fit, the least loss first: less context or a smaller quant, or parts in RAM; less of both where none of these does."""
        if LEAST_CONTEXT <= most < int(answer.question["context"]):
            found = [f"-c {most // 1024}K"]
        else:
            found = [f"-q {best}"] if best else []
        found += [rung] if rung else []
        curve = self.curve(answer)
        saved = at(curve, int(answer.question["context"])) - at(curve, LEAST_CONTEXT)
        if not found and saved > 0:
            best = self.best_quant(answer, room + saved)
            found = [f"-q {best} -c {LEAST_CONTEXT // 1024}K"] if best else []
        return " or ".join(found)

    def rung(self, answer: Estimate) -> str | None:
        """The fewest experts, or layers, in RAM with which the GPU holds the rest, and the RAM that takes."""
        package = engine_of(self.question)
        found = import_module(RUNGS[package]).least(self.rungs_of(answer), answer) if package in RUNGS else None
        return str(found) if found else None

    def rungs_of(self, answer: Estimate) -> list[Any]:
        """What moves to RAM step by step, for the answer's kind; nothing where the question places layers itself."""
        kind = _kind(answer)
        if kind not in self.rungs:
            free = answer.devices[0].kind != "host" and placement_is_free(self.question)
            asked = replace(self.question, device=_device(answer))
            rungs = import_module(RUNGS[engine_of(self.question)]).rungs
            self.rungs[kind] = list(rungs(asked, self.model, self.attached)) if free else []
        return self.rungs[kind]

    def best_quant(self, answer: Estimate, room: int) -> str:
        """The best recipe with which the need is no more than `room`; empty where there is none."""
        need = _need(answer)
        return next((name for name, more in self.recipes(answer) if need + more <= room), "")

    def recipes(self, answer: Estimate) -> list[tuple[str, int]]:
        """(recipe, bytes that it needs more than the question's), best first; none for a file, which is in one quant alone."""
        if self.quants is None:
            self.quants = list(self._recipes(answer)) if self.model.basis != "file" else []
        return self.quants

    def _recipes(self, answer: Estimate) -> Iterator[tuple[str, int]]:
        weights = getattr(import_module(engine_of(self.question)), "weights_on_gpus", None)
        on_gpu = answer.devices[0].kind != "host"
        asked = replace(self.question, device=_device(answer))
        own = weights(asked, self.model)[1] if weights and on_gpu else 0
        for name in ladder((tensor.type for tensor in self.model.tensors), QUANTS):
            try:
                if weights and on_gpu:
                    yield name, weights(replace(asked, quant=name), self.model)[1] - own
                else:
                    yield name, _need(self.ask(device=_device(answer), quant=name)) - _need(answer)
            except UnsupportedError:
                continue

    # --- how fast -------------------------------------------------------------------------------

    def speed(self, device: Device, answer: Estimate) -> Mapping[str, Any] | None:
        """The rate with everything on this device; what a token reads is the same on all."""
        from tonnage.hardware.ram import parse_ram
        from tonnage.pace import ENGINES
        from tonnage.speed.answer import NotKnownError, as_dict, speed_of

        package, backend = engine_of(self.question), str(answer.question["backend"])
        if package not in ENGINES:
            return None
        asked = replace(self.question, device=_device(answer))
        if backend not in self.work:
            self.work[backend] = import_module(ENGINES[package]).work(asked, self.model)
        ram = parse_ram(self.question.ram) if self.question.ram else None
        try:
            found = speed_of(asked, self.work[backend], [] if device.kind == "host" else [device], ram, backend, 0.0)
        except (NotKnownError, QuestionError):
            return None
        return {"decode_tokens_per_second": as_dict(found)["decode_tokens_per_second"]}


def _words(device: Device) -> tuple[str, ...] | None:
    return None if device.kind == "host" else (asked_as(device),)


def _device(answer: Estimate) -> tuple[str, ...] | None:
    return tuple(answer.question.get("device") or ()) or None


def _kind(answer: Estimate) -> Kind:
    return str(answer.question["backend"]), any(part.part == "runtime" for part in answer.devices[0].parts)


def _margin(answer: Estimate) -> int:
    return int(answer.question.get("margin") or 0)


def _high(device: DeviceAnswer) -> int:
    return device.error.high if device.error else 0


def _need(answer: Estimate) -> int:
    """Bytes on the first device, at the upper end of its band."""
    return answer.devices[0].total_bytes + _high(answer.devices[0])
