"""The built-in models: what is known of each, and how it is found by name.

Rows are files of data/models/, one per model; data/models.json is the index of their names.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from tonnage.data import load_json
from tonnage.errors import SourceError, UnsupportedError, nearest

if TYPE_CHECKING:
    from tonnage.model.types import Model

Row = Mapping[str, Any]


def index() -> list[dict[str, Any]]:
    """Every model's hf_id, name, aliases, architecture (null with `why` where there are no rules), context and total."""
    rows: list[dict[str, Any]] = load_json("models.json")
    return rows


def names() -> tuple[str, ...]:
    """The short name of every model."""
    return tuple(row["name"] for row in index())


def find(name: str) -> Row | None:
    """The row of a model by short name, alias or hub id, in any case; None where there is none."""
    entry = _by_name().get(name.lower())
    if entry is None:
        return None
    row: Row = load_json(f"models/{entry['hf_id'].replace('/', '--')}.json")
    return row


def row(name: str) -> Row:
    """The row of a model; SourceError with the nearest names where there is none."""
    found = find(name)
    if found is None:
        raise SourceError(f"no built-in model is called {name!r}: `tonnage models` lists them", nearest(name, names()))
    return found


@lru_cache(maxsize=32)
def model(name: str) -> "Model":
    """The model called `name`; UnsupportedError where its architecture has no rules."""
    found = row(name)
    entry = _by_name()[name.lower()]
    if entry["architecture"] is None:
        raise UnsupportedError(f"{entry['hf_id']} cannot be answered: {entry['why']}")
    from tonnage.model import build  # names are listed without it

    return build.from_row(found)


@cache
def _by_name() -> dict[str, dict[str, Any]]:
    return {key.lower(): entry for entry in index() for key in (entry["name"], entry["hf_id"], *entry["aliases"])}
