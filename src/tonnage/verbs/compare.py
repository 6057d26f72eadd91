"""`tonnage compare`: engines side by side."""

from collections.abc import Sequence
from typing import Any

from tonnage.comparison import Row, compare, engines_of
from tonnage.question import of_pairs, to_dict
from tonnage.render import numbers
from tonnage.source import open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows


def _size(nbytes: int | None) -> str:
    return "-" if nbytes is None else numbers.gib(nbytes)


def _count(n: int | None) -> str:
    return "-" if n is None else f"{n:,}"


COLUMNS = (
    Column("engine", "engine"),
    Column("quant", "weights in"),
    Column("needed_bytes", "needs GiB", _size, right=True),
    Column("taken_bytes", "takes GiB", _size, right=True),
    Column("kv_tokens", "KV tokens", _count, right=True),
    Column("users", "users", _count, right=True),
    Column("verdict", "verdict"),
)


def run(call: Call) -> int:
    """Print a row for every engine; exit 1 where a device is named and none holds the model."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    question, wanted = opened.question, engines_of(str(call.face.get("engines") or ""))
    rows = compare(question, opened.model, opened.attached, wanted)
    shown = [_shown(row) for row in rows]
    head = {"question": to_dict(question)}
    if call.format == "json":
        from tonnage.render import json as form

        answers = [form.answer(row.answer) for row in rows if row.answer is not None]
        call.print(form.dumps({"schema": form.SCHEMA, **head, "answers": answers, "differences": shown}))
    else:
        print_rows(call, COLUMNS, shown, head, _of_weights(rows))
    return int(bool(question.device) and not any(row["verdict"] in ("fits", "tight") for row in shown))


def _of_weights(rows: Sequence[Row]) -> tuple[str, ...]:
    """That the rows are not of the same weights, and how to make them so; none where they are."""
    recipes = sorted({row.answer.weights.recipe for row in rows if row.answer is not None})
    if len(recipes) < 2:
        return ()
    return (f"Not the same weights in all rows ({', '.join(recipes)}): each engine's own default. With -q fp8 the serving engines are alike.",)


def _shown(row: Row) -> dict[str, Any]:
    answer = row.answer
    verdict = row.why if answer is None else answer.verdict.word if answer.verdict else "no limit"
    return {
        "engine": row.engine if answer is None else answer.engine,
        "quant": "-" if answer is None else answer.weights.recipe,
        "needed_bytes": row.needed_bytes,
        "taken_bytes": row.taken_bytes,
        "kv_tokens": row.kv_tokens,
        "users": row.users,
        "verdict": verdict,
    }
