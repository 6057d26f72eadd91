"""`tonnage models`: the built-in models."""

from typing import Any

from tonnage.errors import SourceError, nearest
from tonnage.model import catalogue
from tonnage.verbs import Call


def run(call: Call) -> int:
    """List the models with the word in their name; names alone are what completion asks for, so they come fast."""
    words = call.words_between(0, 1)
    rows = [row for row in catalogue.index() if _matches(row, words)]
    if call.face.get("names"):
        call.print("\n".join(row["name"] for row in rows))
        return 0
    if not rows:
        raise SourceError(f"no built-in model has {words[0]!r} in its name", nearest(words[0], catalogue.names()))
    return _table(call, rows)


def _matches(row: dict[str, Any], words: tuple[str, ...]) -> bool:
    return all(word.lower() in f"{row['name']} {row['hf_id']}".lower() for word in words)


def _table(call: Call, rows: list[dict[str, Any]]) -> int:
    from tonnage.render import numbers
    from tonnage.verbs.rows import Column, print_rows

    columns = (
        Column("name", "model"),
        Column("hf_id", "hub id", narrow=False),
        Column("architecture", "architecture", lambda name: name or "no rules yet"),
        Column("total", "parameters", lambda total: numbers.parameters(total) if total else "", right=True),
        Column("context", "context", lambda context: numbers.tokens(context) if context else "", right=True),
    )
    return print_rows(call, columns, [{column.key: row.get(column.key) for column in columns} for row in rows], {})
