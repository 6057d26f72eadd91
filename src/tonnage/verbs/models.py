"""`tonnage models`: the built-in models."""

from tonnage.errors import SourceError, nearest
from tonnage.model import catalogue
from tonnage.render import numbers
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows

COLUMNS = (
    Column("name", "model"),
    Column("hf_id", "hub id"),
    Column("architecture", "architecture", lambda name: name or "no rules yet"),
    Column("total", "parameters", lambda total: numbers.parameters(total) if total else "", right=True),
    Column("context", "context", lambda context: numbers.tokens(context) if context else "", right=True),
)


def run(call: Call) -> int:
    """List the models with the word in their name."""
    words = call.words_between(0, 1)
    if call.face.get("names"):
        call.print("\n".join(name for name in catalogue.names() if all(word.lower() in name.lower() for word in words)))
        return 0
    rows = [{column.key: row.get(column.key) for column in COLUMNS} for row in catalogue.index() if _matches(row, words)]
    if not rows:
        raise SourceError(f"no built-in model has {words[0]!r} in its name", nearest(words[0], catalogue.names()))
    return print_rows(call, COLUMNS, rows, {})


def _matches(row: dict[str, object], words: tuple[str, ...]) -> bool:
    return all(word.lower() in f"{row['name']} {row['hf_id']}".lower() for word in words)
