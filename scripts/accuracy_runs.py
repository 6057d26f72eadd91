"""Hold the program against every stored run of llama.cpp, and write what came out to docs/accuracy.json.

    python scripts/accuracy_runs.py

It takes some minutes; docs/accuracy.md is made from the result, and a slow test holds the two together.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import llama_cases  # noqa: E402
import oracle  # noqa: E402
from llama_cases import Case  # noqa: E402
from tonnage.answer import Estimate  # noqa: E402
from tonnage.engines.llamacpp import answer  # noqa: E402
from tonnage.engines.llamacpp.stored import recipe_of, weights_answer  # noqa: E402
from tonnage.errors import TonnageError  # noqa: E402
from tonnage.model import catalogue  # noqa: E402
from tonnage.model.types import Model  # noqa: E402
from tonnage.question import from_dict  # noqa: E402

TARGET = ROOT / "docs/accuracy.json"
TERMS = ("weights", "cache", "compute")
ALL = "all"
"""the row that sums up a section"""
Row = dict[str, Any]


class Run(NamedTuple):
    """A run of the engine, and the model that it loaded."""

    case: Case
    model: Model


def measure() -> dict[str, Any]:
    """Everything that docs/accuracy.json holds."""
    return {
        "models of the catalogue": by_family(of_catalogue()),
        "headers, many settings": by_family(of_headers(llama_cases.single())),
        "several GPUs, layers in host memory": by_family(of_headers(llama_cases.spread())),
        "refusals": refusals(),
        "recipes": recipes(),
    }


def of_headers(cases: list[Case]) -> Iterator[Run]:
    """Runs on the headers of real and made-up files."""
    return (Run(case, llama_cases.model(case.question.model)) for case in cases if case.measured is not None)


def of_catalogue() -> Iterator[Run]:
    """Runs on the files that the converter makes of published configs."""
    for hub_id, entry in oracle.catalogue().items():
        model = catalogue.model(hub_id)
        for run in entry["runs"]:
            asked = {"model": hub_id, "flags": run["f"], "outputs": run["nout"]}
            question = llama_cases.question(asked, backend=run["b"], quant="Q4_K_M")
            yield Run(Case(hub_id, question, llama_cases.by_device(run["buf"])), model)


def by_family(runs: Iterator[Run]) -> dict[str, Row]:
    """Architecture, and ALL -> how many models and runs, how many terms are exact, and how far compute is off."""
    count: dict[str, Counter[str]] = defaultdict(Counter)
    models: dict[str, set[str]] = defaultdict(set)
    errors: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        found = list(compared(run))
        for family in (run.model.architecture, ALL):
            models[family].add(run.case.question.model)
            count[family] += Counter(runs=1)
            for name, value in found:
                if name == "error":
                    errors[family].append(value)
                else:
                    count[family][name] += int(value)
    return {family: {"models": len(models[family]), **count[family], **spread(errors[family])} for family in sorted(count)}


def compared(run: Run) -> Iterator[tuple[str, float]]:
    """Which terms are the engine's on every device, what each compute buffer claims, and how far it is off in %."""
    assert run.case.measured is not None
    try:
        estimate = answer(run.case.question, run.model)
    except TonnageError:
        yield "unanswered", 1
        return
    ours = llama_cases.predicted(estimate)
    for i, term in enumerate(TERMS):
        yield term, llama_cases.column(run.case.measured, i) == llama_cases.column(ours, i)
    for name, low, ours_bytes, high in compute_parts(estimate):
        theirs = run.case.measured.get(name, (0, 0, 0))[2]
        kind, missed = ("fitted", "outside") if low < high else ("called exact", "wrong")
        yield kind, 1
        yield missed, not low <= theirs <= high
        yield "error", abs(ours_bytes - theirs) / max(theirs, 1) * 100


def compute_parts(estimate: Estimate) -> Iterator[tuple[str, int, int, int]]:
    """Device, least, predicted and most bytes of every compute buffer."""
    for name, device in zip(llama_cases.names(estimate), estimate.devices, strict=True):
        parts = [part for part in device.parts if part.part == "compute"]
        total = sum(part.bytes for part in parts)
        low, high = (sum(getattr(part.error, end) for part in parts if part.error) for end in ("low", "high"))
        if parts:
            yield name, total + low, total, total + high


def spread(errors: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest, in %."""
    ordered = sorted(errors) or [0.0]
    return {"p50": round(median(ordered), 3), "p95": round(ordered[int((len(ordered) - 1) * 0.95)], 3), "max": round(ordered[-1], 3)}


def refusals() -> Row:
    """Settings that the engine refuses."""
    refused = [case for case in llama_cases.single() if case.measured is None]
    return {"cases": len(refused), "refused": sum(_is_refused(case) for case in refused)}


def _is_refused(case: Case) -> bool:
    try:
        llama_cases.answered(case)
    except TonnageError:
        return True
    return False


def recipes() -> Row:
    """Published models in llama-quantize's recipes: the bytes of all tensors."""
    found = [exact for hub_id, entry in oracle.catalogue().items() for exact in _sizes(hub_id, entry)]
    return {"models": len(oracle.catalogue()), "sizes": len(found), "exact": sum(found)}


def _sizes(hub_id: str, entry: Row) -> Iterator[bool]:
    model = catalogue.model(hub_id)
    for quant, theirs in entry["quants"].items():
        question = from_dict({"model": hub_id, "quant": quant})
        yield theirs["bytes"] == weights_answer(model, recipe_of(question, model), None).tensor_bytes


def text(measured: dict[str, Any]) -> str:
    """The file, a family a line."""
    sections = []
    for name, section in measured.items():
        nested = all(isinstance(value, dict) for value in section.values())
        rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in section.items()) if nested else ""
        sections.append(f" {json.dumps(name)}: {{\n{rows}\n }}" if nested else f" {json.dumps(name)}: {json.dumps(section)}")
    return "{\n" + ",\n".join(sections) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text(measure()), encoding="utf-8")
