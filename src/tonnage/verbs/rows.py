"""Lists of rows, in every form that a list can take."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tonnage.verbs import Call
from tonnage.verbs.terminal import style_of


class Column(NamedTuple):
    """One column: the key of a row, its title, and how people read its values."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = False
    narrow: bool = True
    """whether a terminal that is too narrow for the whole table shows it"""


def print_rows(
    call: Call, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], head: Mapping[str, Any], notes: Sequence[str] = ()
) -> int:
    """Print the rows; `head` goes before them in JSON, `notes` behind them where people read."""
    if call.format == "json":
        from tonnage.render import json as form

        call.print(form.dumps({"schema": form.SCHEMA, **head, "rows": list(rows), **({"notes": list(notes)} if notes else {})}))
    elif call.format == "csv":
        from tonnage.render import csv

        call.print(csv.write([c.key for c in columns], [[row[c.key] for c in columns] for row in rows]))
    else:
        call.print(_readable(call, columns, rows))
        _print_notes(call, notes)
    return 0


def _print_notes(call: Call, notes: Sequence[str]) -> None:
    """Notes as a list below the table."""
    from tonnage.render import text

    for i, note in enumerate(notes):
        call.print(("" if i else "\n") + "\n".join(text.wrapped(note, style_of(call), first="- ", rest="  ")))


def _readable(call: Call, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> str:
    if call.format == "md":
        from tonnage.render import markdown

        return markdown.write(*_shown(columns, rows))
    from tonnage.render import text

    style, whole = style_of(call), _shown(columns, rows)
    if not call.out.isatty() or text.width_of(*whole[:2]) <= style.width:
        return text.table(*whole, style)
    return text.folded(*_shown([column for column in columns if column.narrow], rows), style)


def _shown(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]], list[int]]:
    """Titles, cells, and which columns are flush right."""
    cells = [[column.show(row[column.key]) for column in columns] for row in rows]
    return [column.title for column in columns], cells, [i for i, column in enumerate(columns) if column.right]
