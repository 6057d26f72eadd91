"""`tonnage estimate REPO --list`: the quants that a repo holds, each by its own header."""

from collections.abc import Iterator
from typing import Any

from tonnage.errors import QuestionError, TonnageError
from tonnage.estimation import judged
from tonnage.frozen import replace
from tonnage.question import Question, of_pairs, to_dict
from tonnage.remote import names, opening
from tonnage.remote.access import environment
from tonnage.render import numbers
from tonnage.render.headline import reserved_bytes
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows


def _or_dash(show: Any) -> Any:
    return lambda value: "-" if value is None else show(value)


COLUMNS = (
    Column("quant", "quant"),
    Column("files", "files", right=True),
    Column("file_bytes", "file bytes", _or_dash("{:,}".format), right=True),
    Column("bits_per_weight", "bits/weight", _or_dash("{:.2f}".format), right=True),
    Column("context", "context", _or_dash("{:,}".format), right=True),
    Column("total_bytes", "total GiB", _or_dash(numbers.gib), right=True),
    Column("verdict", "verdict", _or_dash(str)),
)


def run(call: Call) -> int:
    """List the models of the repo, smallest first."""
    question = of_pairs(pairs_of(call))
    place = names.parse(question.model, environment().hub)
    if not isinstance(place, names.Repo):
        raise QuestionError(f"--list takes a repo of the hub, such as org/repo, not {question.model[:80]!r}")
    return print_rows(call, COLUMNS, list(_rows(question, place)), {"question": to_dict(question)})


def _rows(question: Question, repo: names.Repo) -> Iterator[dict[str, Any]]:
    for listed in opening.list_repo(repo):
        stored = listed.stored
        row = {"quant": stored.name, "files": len(stored.files), "file_bytes": stored.file_bytes}
        row |= {"bits_per_weight": None, "context": None, "total_bytes": None, "verdict": listed.error or None}
        yield row if listed.model is None else {**row, **_answer(replace(question, quant=None), listed)}


def _answer(question: Question, listed: opening.Listed) -> dict[str, Any]:
    assert listed.model
    try:
        answer = judged(question, listed.model)
    except TonnageError as error:
        return {"verdict": str(error)}
    total = answer.total_bytes - sum(reserved_bytes(device) for device in answer.devices)
    told = {"bits_per_weight": answer.weights.bits_per_weight, "context": answer.question["context"]}
    return {**told, "total_bytes": total, "verdict": answer.verdict.word if answer.verdict else None}
