"""What stands beside an answer: memory against context, every device, every recipe; from few estimates. Pure.

All parts but the weights are the same in every quantised recipe, and memory is straight between a few contexts (tests
hold both), so that one curve of a model serves all its recipes and all questions about it. Devices are judged in full.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from tonnage.answer import Estimate
from tonnage.errors import QuestionError, RefusedError, UnsupportedError
from tonnage.estimation import engine_of, judged
from tonnage.frozen import replace
from tonnage.hardware.budget import budget
from tonnage.hardware.devices import asked_as, catalogue
from tonnage.hardware.types import Device
from tonnage.model.types import NOTHING, Attached, Attention, Compressed, Model
from tonnage.need import Point
from tonnage.need import at as at  # pages read both with the glance that they belong to
from tonnage.need import reaches as reaches
from tonnage.quant.recipes import usual
from tonnage.question import Question
from tonnage.solve import STEP
from tonnage.verdict import slack

RECIPES = ("BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K", "IQ2_XXS")
"""recipes that are shown side by side, most bits first"""
QUANTISED = "Q4_K_M"
UNQUANTISED = ("BF16", "F16", "F32")
LEAST = 1024
"""tokens at which curves begin"""
MOST_FITTING, MOST_SHORT = 12, 5
KNOWN = (
    "H100 SXM 80GB", "A100 SXM 80GB", "H200 SXM 141GB", "B200 SXM 180GB", "Instinct MI300X", "RTX 4090", "RTX 3090", "RTX 5090", "RTX 4060 Ti 16GB",
    "RTX 3060 12GB", "RTX 4070 SUPER", "RTX 4060", "RX 7900 XTX", "L40S", "RTX 6000 Ada",
)  # fmt: skip
"""devices that stand first among those of the same maker and memory"""
_OF_PLACE: dict[str, Any] = dict.fromkeys(("device", "in_use", "ram", "gpu_layers", "n_cpu_moe", "cpu_moe", "override_tensor", "tensor_split"))
"""what a question says of its machine: asked without, it is about one GPU that holds everything"""


class Fit(NamedTuple):
    """A device, or several of the same memory, beside a model."""

    device: Device
    alike: tuple[str, ...]
    """other devices of the same maker and memory"""
    verdict: str
    usable_bytes: int
    spare_bytes: int
    """beyond the margin; negative where so much is short"""
    max_context: int
    """tokens; 0 where not even the least fits"""
    best_quant: str
    """the recipe of most bits that fits at the context asked about; empty where none does"""


class Recipe(NamedTuple):
    """A model in one recipe, at the context asked about."""

    name: str
    tensor_bytes: int
    bits_per_weight: float
    gpu_bytes: int


class Glance(NamedTuple):
    """All of it."""

    plain: Estimate
    """the question on one GPU without a limit"""
    curve: tuple[Point, ...]
    fits: tuple[Fit, ...]
    """devices that hold it, the smallest first"""
    short: tuple[Fit, ...]
    """devices that are just too small, the largest first"""
    recipes: tuple[Recipe, ...]


def glance(question: Question, model: Model, attached: Attached = NOTHING, *, unquantised: bool = False) -> Glance:
    """What stands beside the answer; recipes that are not quantised cost an estimate each, and are left out unless asked for."""
    asked = replace(question, **{**_OF_PLACE, "backend": None})
    plain = judged(asked, model, attached)
    rest = _remembered(_rests, asked, model, attached)
    weights = plain.gpu_bytes - at(rest, int(plain.question["context"]))
    curve = tuple(Point(tokens, at(rest, tokens) + weights) for tokens in stops(model))
    recipes = tuple(_recipes(asked, model, attached, plain, unquantised))
    fits, short = _devices(asked, model, attached, plain, curve, recipes)
    return Glance(plain, curve, fits, short, recipes)


def stops(model: Model) -> tuple[int, ...]:
    """Contexts of the curve: doubling up to the model's own limit."""
    most = max(model.context, LEAST)
    return tuple(sorted({most, *(LEAST << k for k in range(24) if LEAST << k < most)}))


# --- the curve --------------------------------------------------------------------------------------


def _remembered(found: Any, question: Question, model: Model, attached: Attached) -> Any:
    """The curve or table of a model, remembered for questions that differ in context alone."""
    quant = question.quant if model.basis != "file" else None
    key = replace(question, context=None, n_ctx=None, depth=None, prompt=None, quant=quant if quant and quant.upper() in UNQUANTISED else None)
    return found(key, model) if attached == NOTHING else found.__wrapped__(key, model, attached)


@lru_cache(maxsize=256)
def _rests(question: Question, model: Model, attached: Attached = NOTHING) -> tuple[Point, ...]:
    """All bytes on the GPU but the weights, at a few contexts."""
    most = judged(replace(question, context=max(model.context, LEAST)), model, attached)
    slots, ubatch = int(most.question.get("slots") or 1), int(most.question.get("ubatch") or 0)
    return tuple(Point(tokens, _rest(judged(replace(question, context=tokens), model, attached))) for tokens in knots(model, slots, ubatch))


def knots(model: Model, slots: int, ubatch: int) -> tuple[int, ...]:
    """Contexts at which a curve is estimated: each a quarter of the next, and where a window is full."""
    most = max(model.context, LEAST)
    windows = {m.window for layer in model.layers for m in layer.mixers if isinstance(m, Attention | Compressed) and m.window}
    full = {-(-cells // STEP) * STEP for window in windows for cells in (window + ubatch, window * slots + ubatch)}
    return tuple(sorted({LEAST, most, *(n for n in (*(most >> k for k in (2, 4, 6)), *windows, *full) if LEAST < n < most)}))


def _rest(answer: Estimate) -> int:
    return answer.gpu_bytes - sum(part.bytes for device in answer.devices if device.kind != "host" for part in device.parts if part.part == "weights")


# --- recipes ----------------------------------------------------------------------------------------


def _recipes(question: Question, model: Model, attached: Attached, plain: Estimate, unquantised: bool) -> Iterator[Recipe]:
    own = str(plain.question["quant"])
    if model.basis != "config" or not hasattr(import_module(engine_of(question)), "weights_on_gpus"):
        # a file comes in one recipe, and engines of other formats have no ladder of recipes
        yield Recipe(own, plain.weights.tensor_bytes, plain.weights.bits_per_weight, plain.gpu_bytes)
        return
    found: Mapping[str, tuple[int, float, int]] = _remembered(weights_by_recipe, question, model, attached)
    rest = _rest(judged(replace(question, quant=QUANTISED), model, attached) if own in UNQUANTISED else plain)
    rows = {}
    for name, (nbytes, bits, gpu) in found.items():
        if name not in UNQUANTISED:
            rows[name] = Recipe(name, nbytes, bits, gpu + rest)
        elif unquantised:
            rows[name] = Recipe(name, nbytes, bits, gpu + _rest(judged(replace(question, quant=name), model, attached)))
    rows[own] = Recipe(own, plain.weights.tensor_bytes, plain.weights.bits_per_weight, plain.gpu_bytes)
    yield from sorted(rows.values(), key=lambda row: -row.tensor_bytes)


@lru_cache(maxsize=256)
def weights_by_recipe(question: Question, model: Model, attached: Attached = NOTHING) -> Mapping[str, tuple[int, float, int]]:
    """Recipe -> bytes of all tensors, bits a weight, bytes on the GPU."""
    found = {}
    engine = import_module(engine_of(question))
    for name in dict.fromkeys((*RECIPES, usual(tensor.type for tensor in model.tensors))):
        try:
            stored, nbytes = engine.weights_on_gpus(replace(question, quant=name), model)
        except (UnsupportedError, RefusedError):
            continue
        found[name] = (stored.tensor_bytes, stored.bits_per_weight, nbytes)
    return found


# --- devices ----------------------------------------------------------------------------------------


@cache
def _groups() -> tuple[tuple[int, tuple[Device, ...]], ...]:
    """(usable bytes, devices of one maker, kind and memory), the smallest first."""
    groups: dict[tuple[Any, ...], list[Device]] = {}
    for device in catalogue():
        if device.kind != "host" and device.memory_bytes:
            groups.setdefault((device.vendor, device.kind, device.memory_bytes), []).append(device)
    best = [tuple(sorted(group, key=_rank)) for group in groups.values()]
    return tuple(sorted(((budget(group[0]).usable_bytes or 0, group) for group in best), key=lambda pair: (pair[0], pair[1][0].name)))


def _rank(device: Device) -> tuple[int, int, int]:
    return (KNOWN.index(device.name) if device.name in KNOWN else len(KNOWN), -(device.year or 0), -(device.bandwidth or 0))


def room(question: Question, model: Model, device: Device) -> int:
    """Bytes of a model that a device holds with everything on it, the margin kept."""
    plain = judged(question, model)
    return plain.gpu_bytes + _room_left(judged(replace(question, device=(asked_as(device),)), model), plain)[1]


def _room_left(answer: Estimate, plain: Estimate) -> tuple[int, int]:
    """Bytes to spare beyond the margin, and how much larger the model may be: a band grows with what it is a share of."""
    spare = slack(answer.devices, int(answer.question.get("margin") or 0)) or 0
    bands = sum(part.error.high for part in answer.devices[0].parts if part.error and part.part != "runtime")
    return spare, int(spare / (1 + bands / max(plain.gpu_bytes, 1)))


def _devices(
    question: Question, model: Model, attached: Attached, plain: Estimate, curve: Sequence[Point], recipes: Sequence[Recipe]
) -> tuple[tuple[Fit, ...], tuple[Fit, ...]]:
    """The smallest devices that hold it, and the largest that do not."""
    groups = _groups()
    start = bisect_left(groups, plain.gpu_bytes, key=lambda pair: pair[0])
    fits: list[Fit] = []
    short: list[Fit] = []
    for _, group in groups[start:]:
        row = _if_it_runs(question, model, attached, group, plain, curve, recipes)
        if row is not None:
            (short if row.spare_bytes < 0 else fits).append(row)
        if len(fits) == MOST_FITTING:
            break
    below = (_if_it_runs(question, model, attached, group, plain, curve, recipes) for _, group in groups[max(start - MOST_SHORT, 0) : start])
    nearest = sorted([*short, *(row for row in below if row is not None)], key=lambda row: -row.spare_bytes)
    return tuple(sorted(fits, key=lambda row: row.usable_bytes)), tuple(nearest[:MOST_SHORT])


def _if_it_runs(question: Question, model: Model, attached: Attached, group: tuple[Device, ...], *rest: Any) -> Fit | None:
    """A group's row; None where the engine does not run on such devices."""
    try:
        return _fit(question, model, attached, group, *rest)
    except (QuestionError, UnsupportedError):
        return None


def _fit(
    question: Question,
    model: Model,
    attached: Attached,
    group: tuple[Device, ...],
    plain: Estimate,
    curve: Sequence[Point],
    recipes: Sequence[Recipe],
) -> Fit:
    device = group[0]
    answer = judged(replace(question, device=(asked_as(device),), context=int(plain.question["context"])), model, attached)
    gpu = answer.devices[0]
    spare, more = _room_left(answer, plain)
    held = plain.gpu_bytes + more
    most = reaches(curve, held)
    best = next((recipe.name for recipe in recipes if recipe.gpu_bytes <= held), "")
    word = answer.verdict.word if answer.verdict else ""
    return Fit(device, tuple(d.name for d in group[1:]), word, gpu.usable_bytes or 0, spare, curve[-1].tokens if most is None else most, best)
