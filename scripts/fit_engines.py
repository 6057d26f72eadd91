"""Constants of engines other than llama.cpp, and of several sequences at a time (tests/data/engine-speeds.json.gz).

What a token reads is what the engine's own module `work` says. An engine of few rows is drawn to the llama.cpp constants of its
hardware; of an engine whose rows come from one kind of machine a model is left out, not a machine, and the page says so.
"""

import gzip
import json
import math
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import fit_speed as fit
from fit_speed import Guess, Law, Row
from tonnage.hardware.devices import find_all
from tonnage.question import from_dict
from tonnage.source import open_question
from tonnage.speed import decode, prefill
from tonnage.speed.speculation import more_experts
from tonnage.work import Work

EVIDENCE = Path(__file__).parent.parent / "tests/data/engine-speeds.json.gz"
KIN = {"vllm": "cuda", "sglang": "cuda", "exllamav3": "cuda", "mlx": "metal"}
"""engine -> the group of llama.cpp on the same hardware"""
LEFT_OUT = {"mlx": "machine", "vllm": "model", "sglang": "model", "exllamav3": "quant"}
"""what of an engine's rows is left out together when one of them is predicted"""
PROMPTS_UNKNOWN = {"low": 0.3, "high": 3.0, "rows": 0}
"""the band of prompts where none of the engine's were measured"""
EXCHANGE_US = 50.0
"""where the fit of an exchange between ranks begins"""
GROUPS = {"DGX Spark": "cuda-gb10", "Apple M2 Ultra 192GB (76-core GPU)": "metal"}
"""machines whose llama.cpp was measured with several sequences"""
CONTEXT = 16384
"""tokens that a request may hold where the row does not say"""
_VALUES = [0.1 * 1.08**k for k in range(80)]


@cache
def evidence() -> tuple[Row, ...]:
    """The rows, each with its question and its work."""
    told = json.loads(gzip.decompress(EVIDENCE.read_bytes()))
    return tuple(_with_work(dict(zip(told["columns"], row, strict=True))) for row in told["rows"])


def _with_work(row: Row) -> Row:
    package = "llamacpp" if row["engine"] == "llama.cpp" else row["engine"]
    named = {key: row[key] for key in ("model", "engine", "device", "depth", "users")}
    asked = from_dict({**named, "context": CONTEXT, **row["keys"]})
    work = _work(package, asked)
    devices = find_all(asked.device or ())
    return {**row, "work": work, "bandwidth": float(devices[0].bandwidth or 0), "tflops": _tflops(devices[0].tflops)}


def _work(package: str, asked: Any) -> Work:
    question, model, _ = open_question(asked)
    found: Work = import_module(f"tonnage.engines.{package}.work").work(question, model)
    return found


def _tflops(known: Any) -> float:
    """The rate that `speed/sources.py` takes."""
    return max(float(known[kind]) for kind in ("fp32", "fp16", "fp16_fast") if kind in known)


def alone(engine: str, metric: str = "decode") -> list[Row]:
    """Rows of one sequence at a time."""
    return [row for row in evidence() if (row["engine"], row["metric"], row["users"]) == (engine, metric, 1)]


def several(engine: str, group: str = "") -> list[Row]:
    """Rows of several sequences at a time, of one group of llama.cpp's machines where it is named."""
    return [row for row in evidence() if row["engine"] == engine and row["users"] > 1 and (not group or GROUPS[row["device"]] == group)]


# --- one sequence ---------------------------------------------------------------------------------


def terms(row: Row) -> tuple[float, ...]:
    """What each constant is multiplied with; the last one is the exchange between ranks."""
    work: Work = row["work"]
    return _terms(work, row, 1)


def _terms(work: Work, row: Row, sequences: int) -> tuple[float, ...]:
    """Seconds at the full rate of a step: experts as far as the sequences are sent to others, a cache for each."""
    more = more_experts(work.expert_share, sequences - 1)
    found = [0.0] * 6
    for place in work.places:
        kept = sequences * (place.cache + place.state)
        one = decode.terms(place.dense + place.experts * more, kept, place.layers, work.has_experts, row["bandwidth"], "Ultra" in row["device"])
        exchange = place.layers * 1e-6 if place.ranks > 1 else 0.0
        found = [a + b for a, b in zip(found, (*one, exchange), strict=True)]
    return tuple(found)


LAW = Law(
    "decode",
    terms,
    (*fit.DECODE.start, EXCHANGE_US),
    (*fit.DECODE.least, 0.0),
    fit.Pull((*fit.DECODE.pull.everything, 0.1), (*fit.DECODE.pull.backend, 0.1), (*fit.DECODE.pull.group, 0.1)),
)


@cache
def prior(engine: str) -> tuple[float, ...]:
    """The constants that an engine is drawn to: those of llama.cpp on such hardware."""
    return (*fit.constants_of(fit.DECODE, fit.rows("decode"), KIN[engine], small_too=True), EXCHANGE_US)


def constants(engine: str, found: Sequence[Row]) -> tuple[float, ...]:
    """An engine's constants from rows of which some may be left out."""
    return fit.fit(LAW, found, prior(engine), LAW.pull.group) if found else prior(engine)


def left_out(row: Row) -> str:
    """What the row is left out with."""
    return str({"machine": row["device"], "model": row["model"], "quant": row["keys"].get("quant")}[LEFT_OUT[row["engine"]]])


@cache
def unseen(engine: str) -> tuple[Guess, ...]:
    """Every row as predicted without those that it is left out with."""
    mine = alone(engine)
    return tuple(Guess(row, 1 / _dot(constants(engine, [r for r in mine if left_out(r) != left_out(row)]), terms(row))) for row in mine)


def _dot(values: Iterable[float], found: Iterable[float]) -> float:
    return sum(a * b for a, b in zip(values, found, strict=True))


# --- prompts --------------------------------------------------------------------------------------


def prompt_seconds(row: Row, found: tuple[float, ...]) -> float:
    """Seconds of a prompt's token by constants of `Prefill`."""
    work: Work = row["work"]
    length = row["keys"]["prompt"]
    per_expert = min(work.ubatch, length) * work.expert_share if work.has_experts else None
    parameters = sum(place.parameters for place in work.places)
    products = sum(kind.products(length / 2) for kind in work.attention)
    return _dot(found, prefill.terms(parameters, products, row["tflops"], work.is_f16, per_expert))


@cache
def prompt_constants(engine: str) -> tuple[float, ...]:
    """Those of llama.cpp on such hardware, all times one factor where prompts of the engine were measured."""
    own = fit.constants_of(fit.PREFILL, fit.rows("prefill"), KIN[engine], small_too=True)
    factor = _middle(1 / row["tokens_per_s"] / prompt_seconds(row, own) for row in alone(engine, "prefill"))
    return tuple(max(value * factor, 1.0) for value in own)


def _middle(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 1.0


def unseen_prompts(engine: str) -> tuple[Guess, ...]:
    """Prompts as predicted with the machine left out."""
    own = fit.constants_of(fit.PREFILL, fit.rows("prefill"), KIN[engine], small_too=True)
    found = []
    for row in alone(engine, "prefill"):
        others = [r for r in alone(engine, "prefill") if left_out(r) != left_out(row)]
        factor = _middle(1 / r["tokens_per_s"] / prompt_seconds(r, own) for r in others)
        found.append(Guess(row, 1 / (factor * prompt_seconds(row, own))))
    return tuple(found)


# --- several sequences ----------------------------------------------------------------------------


class Step(NamedTuple):
    """A step's seconds, but for the constant of its arithmetic."""

    reading: float
    arithmetic: float
    state: float
    measured: float

    def seconds(self, arithmetic: float, state: float) -> float:
        """With the constants of what each further sequence adds."""
        return self.reading + arithmetic * self.arithmetic + state * self.state


def step(row: Row, of_one: tuple[float, ...]) -> Step:
    """The step of a row by the constants of one sequence."""
    work: Work = row["work"]
    rate = sum(sum(prefill.terms(place.parameters, 0, row["tflops"], False, None)) for place in work.places)
    more, state = row["users"] - 1, sum(place.state for place in work.places) / row["bandwidth"]
    return Step(_dot(of_one, _terms(work, row, row["users"])), rate * more, state * more, row["users"] / row["tokens_per_s"])


def batch_constants(steps: Sequence[Step]) -> tuple[float, float]:
    """(of arithmetic, of states) that bring predicted over measured closest to 1 at the median, one after the other."""

    def off(arithmetic: float, state: float, some: Sequence[Step]) -> float:
        return sum(abs(math.log(s.seconds(arithmetic, state) / s.measured)) for s in some)

    stateless, stateful = [s for s in steps if not s.state], [s for s in steps if s.state]
    arithmetic = min(_VALUES, key=lambda value: off(value, 0.0, stateless or steps))
    state = min([0.0, *_VALUES], key=lambda value: off(arithmetic, value, stateful)) if stateful and stateless else 0.0
    return round(arithmetic, 3), round(state, 3)


def _of_one(row: Row) -> tuple[float, ...]:
    if row["engine"] == "llama.cpp":
        return (*fit.constants_of(fit.DECODE, fit.rows("decode"), GROUPS[row["device"]], small_too=True), 0.0)
    return constants(row["engine"], alone(row["engine"]))


@cache
def steps_of(engine: str, group: str = "") -> tuple[tuple[Row, Step], ...]:
    """Every row of several sequences with its step."""
    known: dict[str, tuple[float, ...]] = {}
    return tuple((row, step(row, known.setdefault(row["device"] if group else engine, _of_one(row)))) for row in several(engine, group))


@cache
def unseen_steps(engine: str, group: str = "") -> tuple[Guess, ...]:
    """Every row as predicted with its model left out."""
    found = []
    for row, one in steps_of(engine, group):
        others = [s for other, s in steps_of(engine, group) if other["model"] != row["model"]]
        found.append(Guess(row, row["users"] / one.seconds(*batch_constants(others))))
    return tuple(found)


BATCHES: dict[str, tuple[str, str]] = {"cuda": ("llama.cpp", "cuda-gb10"), "metal": ("llama.cpp", "metal")}
"""band -> engine and group whose rows of several sequences it comes from"""


def batches() -> dict[str, Any]:
    """What several sequences cost, by backend; of others the wider of both."""
    found: dict[str, Any] = {}
    for name, rows_of in BATCHES.items():
        found[name] = _batch(*rows_of)
    both = list(found.values())
    most = [max(values) for values in zip(*(row["batch"] for row in both), strict=True)]
    found["metal"]["batch"][1] = most[1]  # no model with states was measured there
    found["all"] = {"batch": most, **_around(both, fit.LEAST), "rows": sum(row["rows"] for row in both)}
    return found


def _batch(engine: str, group: str = "") -> dict[str, Any]:
    return {"batch": [*batch_constants([s for _, s in steps_of(engine, group)])], **sure(fit.band_of(unseen_steps(engine, group)))}


def sure(band: dict[str, float]) -> dict[str, float]:
    """A band of few rows is no narrower than what hardware without rows has."""
    return band if band["rows"] >= fit.SURE else {**_around([band], fit.LEAST), "rows": band["rows"]}


def _around(bands: Iterable[dict[str, float]], at_least: Sequence[float]) -> dict[str, float]:
    known = list(bands)
    return {"low": min(at_least[0], *(b["low"] for b in known)), "high": max(at_least[1], *(b["high"] for b in known))}


# --- the table ------------------------------------------------------------------------------------


def engines() -> dict[str, Any]:
    """The rows of data/speed.json."""
    return {engine: _engine(engine) for engine in KIN}


def _engine(engine: str) -> dict[str, Any]:
    *own, exchange = constants(engine, alone(engine))
    of_prompts = sure(fit.band_of(unseen_prompts(engine))) if alone(engine, "prefill") else PROMPTS_UNKNOWN
    several_of = _batch(engine) if several(engine) else batches()["all"]
    return {
        "decode": [round(x, 3) for x in own],
        "exchange_us": round(exchange, 3),
        "prefill": [round(x, 3) for x in prompt_constants(engine)],
        "band": sure(fit.band_of(unseen(engine))),
        "prefill_band": of_prompts,
        "batch": several_of["batch"],
        "batch_band": {key: several_of[key] for key in ("low", "high", "rows")},
        "kin": KIN[engine],
        "machines": len({row["device"].split("x ")[-1] for row in alone(engine)}),
        "rows": len(alone(engine)),
    }
