"""The answer as JSON: docs and schema tell its keys. Integers are exact, nothing is rounded."""

import json
from collections.abc import Mapping
from typing import Any

from tonnage.answer import Band, DeviceAnswer, Estimate, Explanation, Part, Plan, Verdict, WeightsAnswer
from tonnage.errors import TonnageError
from tonnage.model.types import Model, Parameters
from tonnage.question import Question
from tonnage.render import Style

SCHEMA = 1


def render(question: Question, estimate: Estimate, style: Style) -> str:
    """One line of JSON."""
    return dumps(answer(estimate))


def dumps(value: Mapping[str, Any]) -> str:
    """One line of JSON that any reader takes."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def answer(estimate: Estimate) -> dict[str, Any]:
    """The whole answer."""
    return {
        "schema": SCHEMA,
        "question": {**estimate.question, "assumed": list(estimate.assumed)},
        "engine": estimate.engine,
        "model": _model(estimate.model, estimate),
        "weights": _weights(estimate.weights),
        "devices": [_device(device) for device in estimate.devices],
        "total": _total(estimate),
        "verdict": _verdict(estimate.verdict),
        "plan": _plan(estimate.plan),
        "capacity": _plain(estimate.capacity),
        "speed": _plain(estimate.speed),
        "cost": _plain(estimate.cost),
        "command": dict(estimate.command),
        "notes": list(estimate.notes),
    }


def error(question: Any, problem: TonnageError) -> dict[str, Any]:
    """What is answered where a question cannot be."""
    told = {"kind": problem.kind, "message": str(problem), "nearest": list(problem.nearest)}
    return {"schema": SCHEMA, "question": question, "error": told}


def explanation(question: Mapping[str, Any], part: str, told: Explanation) -> dict[str, Any]:
    """Why a part has its size."""
    words = {name: getattr(told, name) for name in ("title", "formula", "result", "source")}
    return {"schema": SCHEMA, "question": dict(question), "part": part, "explanation": {**words, "steps": list(told.steps)}}


def _plain(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def _band(error: Band | None) -> dict[str, int] | None:
    return None if error is None else {"low": error.low, "high": error.high}


def _model(model: Model, estimate: Estimate) -> dict[str, Any]:
    return {
        "name": model.name,
        "architecture": model.architecture,
        "parameters": {name: getattr(model.parameters, name) for name in Parameters.__slots__},
        "context": model.context,
        "layers": [{"kind": kind, "count": count, "cache": cache} for kind, count, cache in estimate.caches],
        "source": model.source,
        "basis": model.basis,
    }


def _weights(weights: WeightsAnswer) -> dict[str, Any]:
    return {
        "tensor_bytes": weights.tensor_bytes,
        "file_bytes": weights.file_bytes,
        "file_error": _band(weights.file_error),
        "bits_per_weight": weights.bits_per_weight,
        "by_type": {kind: {"tensors": tensors, "bytes": nbytes} for kind, (tensors, nbytes) in weights.by_type.items()},
        "recipe": weights.recipe,
        "rules": weights.rules,
        "imatrix": weights.imatrix,
        "basis": weights.basis,
        **({"per_rank_bytes": list(weights.per_rank_bytes)} if weights.per_rank_bytes else {}),
    }


def _device(device: DeviceAnswer) -> dict[str, Any]:
    return {
        "name": device.name,
        "kind": device.kind,
        "capacity_bytes": device.capacity_bytes,
        "usable_bytes": device.usable_bytes,
        "deductions": [{name: getattr(row, name) for name in ("what", "bytes", "basis", "source")} for row in device.deductions],
        "parts": [_part(part) for part in device.parts],
        "total_bytes": device.total_bytes,
        "free_bytes": device.free_bytes,
    }


def _part(part: Part) -> dict[str, Any]:
    return {"part": part.part, "bytes": part.bytes, "basis": part.basis, "error": _band(part.error), "why": part.why, "held": part.held}


def _total(estimate: Estimate) -> dict[str, Any]:
    bands = [device.error for device in estimate.devices if device.error]
    band = Band(sum(b.low for b in bands), sum(b.high for b in bands)) if bands else None
    return {"bytes": estimate.total_bytes, "error": _band(band), "gpu_bytes": estimate.gpu_bytes, "host_bytes": estimate.host_bytes}


def _verdict(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {
        "word": verdict.word,
        "text": verdict.text,
        "short_by_bytes": verdict.short_by_bytes,
        "would_fit_with": list(verdict.would_fit_with),
    }


def _plan(plan: Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    placed = {"layers": list(plan.layers), "experts": list(plan.experts), "flags": dict(plan.flags)}
    return {**placed, "against_fit": plan.against_fit, "modelled": _plain(plan.modelled)}
