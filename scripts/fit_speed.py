"""Write data/speed.json: the constants of the speed model, fitted to measured rows (tests/data/speeds.json.gz).

The constants are linear in time, so each fit is a weighted least square, made robust by weighting down what lies far off.
A group of machines is drawn to its backend, and a backend to all rows, as strongly as PULL says: groups of few rows lean on the others.
Bands come from rows of machines that the fit has not seen.
"""

import gzip
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tonnage.speed import decode, prefill
from tonnage.speed.constants import Decode

ROOT = Path(__file__).parent.parent
EVIDENCE = ROOT / "tests/data/speeds.json.gz"
TARGET = ROOT / "src/tonnage/data/speed.json"
MANY = 3
"""machines from which on a group is fitted for itself"""
COVERED = 0.9
_ROUNDS = 30
_FLOOR = 0.03
"""errors below this weigh alike"""

Row = dict[str, Any]


class Pull(NamedTuple):
    """How strongly each constant is drawn: of a backend to all rows, of a group to its backend."""

    everything: tuple[float, ...]
    backend: tuple[float, ...]
    group: tuple[float, ...]


class Law(NamedTuple):
    """A law of speed that is linear in its constants."""

    metric: str
    terms: Callable[[Row], tuple[float, ...]]
    start: tuple[float, ...]
    least: tuple[float, ...]
    pull: Pull


# --- evidence -------------------------------------------------------------------------------------


@cache
def evidence() -> dict[str, Any]:
    """The measured rows, with models and machines."""
    found: dict[str, Any] = json.loads(gzip.decompress(EVIDENCE.read_bytes()))
    return found


def rows(metric: str) -> list[Row]:
    """The rows of `decode` or `prefill`."""
    found = [dict(zip(evidence()["columns"], row, strict=True)) for row in evidence()["rows"]]
    return [row for row in found if row["metric"] == metric]


def offload_rows() -> list[Row]:
    """The rows of models with experts in RAM."""
    return [dict(zip(evidence()["offload_columns"], row, strict=True)) for row in evidence()["offload"]]


def bandwidth(row: Row) -> float:
    """Bytes a second of the row's device."""
    return float(evidence()["machines"][row["machine"]]["bandwidth_gb_s"]) * 1e9


def has_two_dies(row: Row) -> bool:
    """Apple's Ultra chips are two dies side by side."""
    return "Ultra" in row["machine"]


def _decode_terms(row: Row) -> tuple[float, ...]:
    model = evidence()["models"][row["model"]]
    return decode.terms(row["bytes_read"], row["kv_bytes_read"], model["layers"], bool(model["experts"]), bandwidth(row), has_two_dies(row))


def _prefill_terms(row: Row) -> tuple[float, ...]:
    model = evidence()["models"][row["model"]]
    tflops = evidence()["machines"][row["machine"]]["tflops"]
    share = model["used"] / model["experts"] if model["experts"] else 1.0
    active = model["parameters"] - model["experts_parameters"] * (1 - share) - model["lookup_parameters"]
    tokens_per_expert = min(prefill.UBATCH, row["tokens"]) * share if model["experts"] else None
    seen = row["depth"] + row["tokens"] / 2
    return prefill.terms(active, model["attention"] * seen, tflops, row["quant"] in ("F16", "BF16"), tokens_per_expert)


DECODE = Law(
    "decode",
    _decode_terms,
    (1 / 0.82, 1 / 0.69, 50.0, 80.0, 0.2),
    (1.0, 1.0, 0.0, 0.0, 0.0),
    Pull((3, 3, 0.3, 0.3, 0.1), (3, 3, 0.3, 0.3, 0.1), (3, 3, 1, 1, 1)),
)
PREFILL = Law("prefill", _prefill_terms, (2.0, 2.0, 5.0), (1.0, 1.0, 1.0), Pull((1, 1, 0.1), (0.3, 0.3, 0.1), (0.3, 0.3, 0.3)))


# --- the fit --------------------------------------------------------------------------------------


def fit(law: Law, found: Sequence[Row], prior: tuple[float, ...], pull: tuple[float, ...]) -> tuple[float, ...]:
    """The constants that bring predicted over measured time closest to 1, drawn to `prior`."""
    ratios = [tuple(term * row["tokens_per_s"] for term in law.terms(row)) for row in found]
    constants = prior
    for _ in range(_ROUNDS):
        weights = [1 / max(abs(math.log(max(_dot(constants, ratio), 1e-9))), _FLOOR) for ratio in ratios]
        constants = _bounded(law, ratios, weights, prior, pull)
    return constants


def _bounded(law: Law, ratios: list[tuple[float, ...]], weights: list[float], prior: tuple[float, ...], pull: tuple[float, ...]) -> tuple[float, ...]:
    """Least squares with constants held at their least values where they would fall below."""
    held: dict[int, float] = {}
    while True:
        free = [i for i in range(len(prior)) if i not in held]
        left = [1 - sum(ratio[i] * value for i, value in held.items()) for ratio in ratios]
        matrix = [[sum(w * r[i] * r[j] for w, r in zip(weights, ratios, strict=True)) for j in free] for i in free]
        right = [sum(w * r[i] * rest for w, r, rest in zip(weights, ratios, left, strict=True)) for i in free]
        for at, i in enumerate(free):
            matrix[at][at] += pull[i] / prior[i] ** 2
            right[at] += pull[i] / prior[i]
        values = dict(zip(free, _solve(matrix, right), strict=True))
        low = {i: law.least[i] for i, value in values.items() if value < law.least[i]}
        if not low:
            return tuple((held | values)[i] for i in range(len(prior)))
        held |= low


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """A system of linear equations."""
    size = len(right)
    rows_ = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i in range(size):
        best = max(range(i, size), key=lambda k: abs(rows_[k][i]))
        rows_[i], rows_[best] = rows_[best], rows_[i]
        for k in range(size):
            if k != i:
                factor = rows_[k][i] / rows_[i][i]
                rows_[k] = [x - factor * y for x, y in zip(rows_[k], rows_[i], strict=True)]
    return [rows_[i][size] / rows_[i][i] for i in range(size)]


def _dot(constants: Iterable[float], found: Iterable[float]) -> float:
    return sum(constant * term for constant, term in zip(constants, found, strict=True))


# --- groups ---------------------------------------------------------------------------------------


def machines(found: Iterable[Row]) -> set[str]:
    """The machines of the rows."""
    return {row["machine"] for row in found}


@cache
def large(metric: str) -> frozenset[str]:
    """The groups that are fitted for themselves."""
    names = {row["group"] for row in rows(metric)}
    return frozenset(name for name in names if len(machines(row for row in rows(metric) if row["group"] == name)) >= MANY)


@cache
def backend_of(group: str) -> str:
    """What most rows of a group were computed with."""
    return Counter(row["backend"] for row in rows("decode") if row["group"] == group).most_common(1)[0][0]


def constants_of(law: Law, found: Sequence[Row], group: str, *, small_too: bool) -> tuple[float, ...]:
    """The constants of a group, from rows of which some may be left out.

    A small group has its backend's, unless `small_too`.
    """
    everything = fit(law, found, law.start, law.pull.everything)
    mates = [row for row in found if backend_of(row["group"]) == backend_of(group)]
    of_backend = fit(law, mates, everything, law.pull.backend)
    if group not in large(law.metric) and not small_too:
        return of_backend
    return fit(law, [row for row in found if row["group"] == group], of_backend, law.pull.group)


class Guess(NamedTuple):
    """A row, and what is predicted for it by the rows of other machines."""

    row: Row
    tokens_per_s: float

    @property
    def off(self) -> float:
        """ln(predicted / measured)."""
        return math.log(self.tokens_per_s / self.row["tokens_per_s"])


@cache
def unseen(metric: str) -> tuple[Guess, ...]:
    """Every row as predicted with its machine left out, of all groups and backends."""
    law = {"decode": DECODE, "prefill": PREFILL}[metric]
    found: list[Guess] = []
    for machine in sorted(machines(rows(metric))):
        others = [row for row in rows(metric) if row["machine"] != machine]
        mine = [row for row in rows(metric) if row["machine"] == machine]
        for group in sorted({row["group"] for row in mine}):
            constants = constants_of(law, others, group, small_too=False)
            found += [Guess(row, 1 / _dot(constants, law.terms(row))) for row in mine if row["group"] == group]
    return tuple(found)


@cache
def unseen_prompts() -> tuple[Guess, ...]:
    """Every prompt with its machine left out; in small groups, where none would be left, with its model left out."""
    found = [guess for guess in unseen("prefill") if guess.row["group"] in large("prefill")]
    small = [row for row in rows("prefill") if row["group"] not in large("prefill")]
    for group, model in sorted({(row["group"], row["model"]) for row in small}):
        others = [row for row in rows("prefill") if (row["group"], row["model"]) != (group, model)]
        constants = constants_of(PREFILL, others, group, small_too=True)
        found += [Guess(row, 1 / _dot(constants, PREFILL.terms(row))) for row in small if (row["group"], row["model"]) == (group, model)]
    return tuple(found)


# --- bands and the table --------------------------------------------------------------------------


def quantile(values: Iterable[float], share: float) -> float:
    """The least value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def band_of(guesses: Sequence[Guess]) -> dict[str, float]:
    """Measured over predicted, the middle nine tenths of it, rounded outwards."""
    ratios = [math.exp(-guess.off) for guess in guesses]
    if len(ratios) < SURE:
        ratios += LEAST
    outside = int((1 - COVERED) / 2 * len(ratios) + 1e-9)
    ordered = sorted(ratios)
    return {"low": math.floor(100 * ordered[outside]) / 100, "high": math.ceil(100 * ordered[-1 - outside]) / 100, "rows": len(guesses)}


FEW = "cpu and sycl"
SURE = 20
"""rows from which on they alone tell a band"""
LEAST = [0.5, 1.6]
"""what the band of a few rows is at least"""


def band_name(row: Row) -> str:
    """The band that a row belongs to: its backend's, or that of backends of few rows."""
    backend = backend_of(row["group"])
    return FEW if backend in ("cpu", "sycl") else backend


def bands() -> dict[str, dict[str, dict[str, float]]]:
    """The bands of decoding by backend, and of prompts altogether."""
    names = sorted({band_name(guess.row) for guess in unseen("decode")})
    by_backend = {name: band_of([guess for guess in unseen("decode") if band_name(guess.row) == name]) for name in names}
    return {"decode": by_backend, "prefill": {"all": band_of(unseen_prompts())}}


def offload_seconds(row: Row, constants: tuple[float, ...], efficiency: float) -> float:
    """Seconds of a token with experts in RAM."""
    found = decode.terms(row["gpu_bytes"], 0, row["layers"], True, bandwidth(row), False)
    return decode.seconds(Decode(*constants), found) + row["ram_bytes"] / (row["ram_gb_s"] * 1e9 * efficiency)


def table() -> dict[str, Any]:
    """The whole table."""
    import fit_engines  # which asks this module for the constants that engines are drawn to

    groups = {}
    for group in sorted({row["group"] for row in rows("decode")}):
        mine = [row for row in rows("decode") if row["group"] == group]
        one = constants_of(DECODE, rows("decode"), group, small_too=True)
        of_prompt = constants_of(PREFILL, rows("prefill"), group, small_too=True)
        groups[group] = {
            "decode": [round(x, 3) for x in one],
            "prefill": [round(x, 3) for x in of_prompt],
            "band": band_name(mine[0]),
            "machines": len(machines(mine)),
            "rows": len(mine),
        }
    about = "seconds over seconds at the full rate: weights, cache; microseconds per layer: dense, experts; added to weights for two dies"
    return {
        "about": about,
        "source": "scripts/fit_speed.py, from published runs of 2024 to 2026 (tests/data/speeds.json.gz, tests/data/engine-speeds.json.gz)",
        "experts_in_ram": 0.45,
        "bands": bands() | {"batch": fit_engines.batches()},
        "groups": groups,
        "engines": fit_engines.engines(),
    }


def text() -> str:
    """The file as it is stored."""
    return json.dumps(table(), indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
