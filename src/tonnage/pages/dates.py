"""When the data of a page last changed, by data/dates.json, which scripts/make_dates.py writes."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from tonnage import data
from tonnage.model import catalogue
from tonnage.pages.texts import HOW


def changed(files: Sequence[str]) -> str:
    """The latest day, as in `2026-11-25`, on which a packaged file changed whose name begins with one of these."""
    return max(date for name, (date, _) in _dates().items() if name.startswith(tuple(files)))


def of_page(path: str) -> str:
    """The day on which the data of a path page last changed."""
    kind, *names = path.strip("/").split("/")
    if kind == "m" and names:
        return _models()[names[0]]
    return changed([*_files(kind, names)])


def _files(kind: str, names: Sequence[str]) -> Iterator[str]:
    if kind == "how":
        yield f"texts/{HOW[names[0]]}"
    else:
        yield from _OF_KIND.get(kind, ("",))


_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "m": ("models/", "sizes.json"),
    "on": ("devices.json", "sizes.json"),
    "accuracy": ("texts/accuracy.md",),
    "tools": ("calculators/",),
}
"""first part of a path -> what its pages are made of; others are made of everything"""


@cache
def _models() -> Mapping[str, str]:
    """Short name of a model -> the day on which its row changed."""
    return {entry["name"]: changed([f"models/{entry['hf_id'].replace('/', '--')}.json"]) for entry in catalogue.index()}


def _dates() -> Mapping[str, tuple[str, str]]:
    found: Mapping[str, tuple[str, str]] = data.load_json("dates.json")
    return found
