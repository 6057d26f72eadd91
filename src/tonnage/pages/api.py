"""The verbs over HTTP: a query is turned into the words of the command line, so that both answer the same."""

from collections.abc import Iterator
from importlib import import_module
from io import StringIO
from typing import Any
from urllib.parse import quote

from tonnage.cli import call_of, verb_of
from tonnage.errors import QuestionError, TonnageError, nearest
from tonnage.keys import KEYS
from tonnage.pages.site import Site
from tonnage.question import fields_of, pairs_of_fields
from tonnage.render.json import dumps, error
from tonnage.verbs import Option, Verb

QUESTIONS = ("estimate", "fit", "plan", "max-context", "max-users", "best-quant", "quants", "speed", "cost", "reads")
"""verbs that are asked a question"""
TOOLS = {"ram": "kit", "power": "", "transfer": "size"}
"""calculators -> the field that holds their words"""
LISTS = {"models": "word", "devices": "word"}
VERBS = (*QUESTIONS, *TOOLS, *LISTS)
CLOSED = {"format", "colour", "help", "list", "file", "program", "names"}
"""options that speak of the terminal, of the machine that answers, or of answers that are no JSON"""


def answer(verb_name: str, query: str, site: Site) -> str:
    """One line of JSON, as `tonnage VERB --json` prints it; raises TonnageError."""
    verb = verb_of(verb_name) if verb_name in VERBS else None
    if verb is None:
        raise QuestionError(f"no verb {verb_name[:60]!r} over HTTP", nearest(verb_name[:60], VERBS))
    out = StringIO()
    call = call_of(verb, ["--format=json", *words(verb, query)], out, StringIO())
    import_module(verb.module).run(call._replace(access=site.access))
    return out.getvalue().strip()


def failed(problem: TonnageError, query: str) -> str:
    """An error in the form of the interface."""
    try:
        asked: Any = dict(fields_of(query))
    except TonnageError:
        asked = None
    return dumps(error(asked, problem))


def words(verb: Verb, query: str) -> list[str]:
    """A query as the words of a command line."""
    options = {option.name: option for option in verb.options if option.name not in CLOSED}
    bare = {**TOOLS, **LISTS}.get(verb.name, "")
    found: list[str] = []
    asked: list[tuple[str, str]] = []
    plain: list[str] = []
    for name, value in fields_of(query):
        if bare and name == bare:
            plain += [value] if value else []
        elif name in options:
            found += _option(options[name], value)
        elif verb.takes_question:
            asked.append((name, value))
        else:
            raise QuestionError(f"unknown key {name[:60]!r}", nearest(name[:60], [*options, *([bare] if bare else [])]))
    return [*found, *_keys(asked), *(["--", *plain] if plain else [])]


def _option(option: Option, value: str) -> list[str]:
    if option.alone is not None:
        return [] if value in ("0", "false", "") else [option.spellings[0]]
    return [f"{option.spellings[0]}={value}"] if value else []


def _keys(fields: list[tuple[str, str]]) -> Iterator[str]:
    for name, value in pairs_of_fields(fields):
        if value is not None:
            yield f"{KEYS[name].option}={value}"


def link(site: Site, verb: str, query: str) -> str:
    """The address of an answer as JSON."""
    return site.link(f"/api/v1/{quote(verb)}", query)


def query_of(fields: list[tuple[str, str]]) -> str:
    """Fields as a query string."""
    from urllib.parse import urlencode

    return urlencode(fields, quote_via=quote, safe="/:,")
