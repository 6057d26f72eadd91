"""What a request asks for, in the one form that answers are kept under."""

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from tonnage.errors import TonnageError
from tonnage.model import catalogue
from tonnage.question import fields_of, from_query, to_query
from tonnage.serve import patterns

WITHOUT_QUERY = re.compile(
    r"/(m|on|accuracy|tools|data)/?|/(m|on|how|data|accuracy)/[^/]+/?|/og/(tonnage|(m|on)/.+)\.png|/(sitemap\.xml|robots\.txt|llms\.txt|openapi\.json)"
)
"""paths whose page is the same whatever the query"""
QUESTIONS = re.compile(r"/|/fragment|/embed|/badge\.svg|/og/answer\.png|/api/v1/[a-z-]+/?")
"""paths whose query is a question"""
KINDS = (
    "fragment", "m", "on", "compare", "accuracy", "how", "tools", "data", "embed", "oembed", "badge.svg", "og", "api", "openapi.json", "healthz",
    "metrics",
)  # fmt: skip


OEMBED = "/oembed"
"""whose field `url` is an address of ours with a question in it"""


def canonical(path: str, query: str) -> str:
    """The query that asks the same in the order and the words of the table; the query itself where it is no question."""
    if WITHOUT_QUERY.fullmatch(path):
        return ""
    if QUESTIONS.fullmatch(path):
        try:
            return to_query(from_query(query))
        except TonnageError:
            return query
    return query


def kind(path: str) -> str:
    """The kind of a path, of which there are few."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return first if first in KINDS else "other" if first else "home"


def is_tame(path: str, query: str) -> bool:
    """Whether no pattern in it can hold a worker."""
    return all(patterns.is_tame(value) for value in _values(path, query))


def is_near(path: str, query: str) -> bool:
    """Whether the package alone answers: then the answer is the same for ever, and takes no network."""
    return all(not re.search(r"[/:%\\]", value) or catalogue.find(value) is not None for value in _values(path, query))


def _values(path: str, query: str) -> Iterator[str]:
    yield from (unquote(part) for part in path.split("/"))
    try:
        for name, value in fields_of(query):
            if name == "url" and path == OEMBED:
                parts = urlsplit(value)
                yield from _values(parts.path, parts.query)
            else:
                yield from _values("", value) if name in ("a", "b") and "=" in value else (value,)
    except (TonnageError, ValueError):
        return
