"""Blocks of a page that are written by a program: what stands between their two markers."""

import re
from collections.abc import Iterable, Mapping


def fill(page: str, blocks: Mapping[str, str]) -> str:
    """`page` with the text of each of its blocks; ValueError where page and blocks do not name the same."""
    names = re.findall(r"<!-- generated: (\S+) -->", page)
    if sorted(names) != sorted(blocks):
        raise ValueError(f"the page has the blocks {sorted(names)}, but {sorted(blocks)} are written")
    for name, text in blocks.items():
        page = _fill(page, name, text)
    return page


def _fill(page: str, name: str, text: str) -> str:
    start, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"block {name} has no end marker")
    return f"{before}{start}{text.rstrip()}\n{end}{after}"


def fenced(text: str, language: str = "text") -> str:
    """`text` as a block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def table(head: str, rows: Iterable[Iterable[object]], right: str = "") -> str:
    """A table; `right` names the columns that are set to the right."""
    names = [name.strip() for name in head.split("|")]
    rule = ["---:" if name in right.split("|") else "---" for name in names]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (names, rule, *rows))
