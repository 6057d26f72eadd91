"""`tonnage quants`: a model in every recipe."""

from collections.abc import Iterator
from typing import Any

from tonnage.errors import RefusedError, UnsupportedError
from tonnage.estimation import judged
from tonnage.frozen import replace
from tonnage.quant import recipes
from tonnage.question import Question, of_pairs, to_dict
from tonnage.render import numbers
from tonnage.render.headline import reserved_bytes
from tonnage.source import Opened, open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows

COLUMNS = (
    Column("quant", "quant"),
    Column("bits_per_weight", "bits/weight", lambda bits: f"{bits:.2f}", right=True),
    Column("tensor_bytes", "tensors GiB", numbers.gib, right=True),
    Column("total_bytes", "total GiB", numbers.gib, right=True),
)


FORMATS = (
    Column("format", "format"),
    Column("bits_per_weight", "bits/weight", lambda bits: f"{bits:.2f}", right=True),
    Column("tensor_bytes", "tensors GiB", numbers.gib, right=True),
    Column("low_bytes", "at least", numbers.gib, right=True),
    Column("high_bytes", "at most", numbers.gib, right=True),
    Column("status", "rule"),
    Column("engines", "loaded by", " ".join),
    Column("help", "what it is"),
)


def run(call: Call) -> int:
    """List every recipe that the model can be stored in, smallest first; or every format of safetensors."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    if call.face.get("formats"):
        rows = sorted(_formats(opened), key=lambda row: int(row["tensor_bytes"]))
        return print_rows(call, FORMATS, rows, {"question": to_dict(opened.question)})
    rows = sorted(_rows(opened), key=lambda row: int(row["tensor_bytes"]))
    return print_rows(call, COLUMNS, rows, {"question": to_dict(opened.question)})


def _rows(opened: Opened) -> Iterator[dict[str, Any]]:
    for name in recipes.NAMES:
        try:
            yield _row(replace(opened.question, quant=name), opened)
        except (UnsupportedError, RefusedError):
            continue  # a recipe that this model's tensors cannot take


def _formats(opened: Opened) -> Iterator[dict[str, Any]]:
    """The model's tensors in every format of safetensors checkpoints that it can have."""
    from tonnage.quant import formats

    for name, row in formats.FORMATS.items():
        try:
            found = formats.predict(opened.model, name, mtp=opened.question.mtp is not False)
        except UnsupportedError:
            continue  # a format for experts, and the model has none
        doubt = found.error or formats.Doubt(0, 0)
        yield {
            "format": name,
            "tensor_bytes": found.nbytes,
            "bits_per_weight": found.bits_per_weight,
            "low_bytes": found.nbytes + doubt.low,
            "high_bytes": found.nbytes + doubt.high,
            "status": found.status,
            "engines": list(row.engines),
            "help": row.help,
        }


def _row(question: Question, opened: Opened) -> dict[str, Any]:
    answer = judged(question, opened.model, opened.attached)
    weights = answer.weights
    return {
        "quant": question.quant,
        "tensor_bytes": weights.tensor_bytes,
        "bits_per_weight": weights.bits_per_weight,
        "total_bytes": answer.total_bytes - sum(reserved_bytes(device) for device in answer.devices),
    }
