"""The verbs over HTTP: a query is turned into the words of the command line, so that both answer the same."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from io import StringIO
from typing import Any
from urllib.parse import quote

from tonnage import data
from tonnage.cli import call_of, verb_of
from tonnage.errors import QuestionError, TonnageError, nearest
from tonnage.keys import KEYS, Key
from tonnage.pages.site import Site
from tonnage.question import fields_of, pairs_of_fields
from tonnage.render.json import dumps, error
from tonnage.verbs import Option, Verb
from tonnage.version import __version__

QUESTIONS = ("estimate", "fit", "plan", "max-context", "max-users", "best-quant", "quants", "speed", "cost", "reads")
"""verbs that are asked a question"""
TOOLS = {"ram": "kit", "power": "", "transfer": "size"}
"""calculators -> the field that holds their words"""
LISTS = {"models": "word", "devices": "word"}
VERBS = (*QUESTIONS, *TOOLS, *LISTS)
_CLOSED = {"format", "colour", "help", "list", "file", "program"}
"""options that speak of the terminal, or of the machine that answers"""


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
    options = {option.name: option for option in verb.options if option.name not in _CLOSED}
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


# --- what can be asked ------------------------------------------------------------------------------


@cache
def openapi() -> str:
    """The OpenAPI document, made from the tables of verbs and keys."""
    paths = {f"/api/v1/{name}": {"get": _operation(verb_of(name))} for name in VERBS}
    schemas = {"Answer": {k: v for k, v in data.load_json("schema/answer.json").items() if k not in ("$schema", "$id")}, "Error": _ERROR}
    told = {
        "title": "Tonnage",
        "version": __version__,
        "description": "What a language model takes in memory, where it fits, how fast it runs. No key; every answer is JSON.",
    }
    return json.dumps({"openapi": "3.1.0", "info": told, "paths": paths, "components": {"schemas": schemas}}, separators=(",", ":"))


_ERROR = {
    "type": "object",
    "required": ["schema", "error"],
    "properties": {
        "schema": {"const": 1},
        "error": {
            "type": "object",
            "required": ["kind", "message", "nearest"],
            "properties": {"kind": {"type": "string"}, "message": {"type": "string"}, "nearest": {"type": "array", "items": {"type": "string"}}},
        },
    },
}


def _operation(verb: Verb) -> Mapping[str, Any]:
    bare = {**TOOLS, **LISTS}.get(verb.name, "")
    options = [
        _parameter(option.name, option.help, {"type": "string"}, option.many) for option in verb.options if option.name not in {*_CLOSED, *KEYS}
    ]
    own = [
        _parameter(option.name, option.help, {"type": "string"}, option.many)
        for option in verb.options
        if option.name in KEYS and not verb.takes_question
    ]
    keys = [_of_key(key) for key in KEYS.values() if key.name != "device_file"] if verb.takes_question else []
    plain = [_parameter(bare, verb.usage, {"type": "string"}, True)] if bare else []
    failed = {
        "description": "a question that cannot be answered",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    shape = {"$ref": "#/components/schemas/Answer"} if verb.name == "estimate" else {"type": "object"}
    good = {"description": verb.help, "content": {"application/json": {"schema": shape}}}
    responses = {"200": good, "400": failed, "404": failed, "422": failed, "429": failed, "503": failed}
    return {"operationId": verb.name.replace("-", "_"), "summary": verb.help, "parameters": [*plain, *options, *own, *keys], "responses": responses}


def _of_key(key: Key) -> Mapping[str, Any]:
    kind = {"switch": "boolean"}.get(key.kind, "string")
    schema = {"type": kind, **({"enum": list(key.choices)} if key.kind == "choice" and not key.words else {})}
    return _parameter(key.short or key.name, f"{key.help}; default: {key.default}", schema, key.is_list, required=False)


def _parameter(name: str, words: str, schema: Mapping[str, Any], many: bool, *, required: bool = False) -> Mapping[str, Any]:
    shape = {"type": "array", "items": schema} if many else schema
    return {"name": name, "in": "query", "required": required, "description": words, "schema": shape}


def link(site: Site, verb: str, query: str) -> str:
    """The address of an answer as JSON."""
    return site.link(f"/api/v1/{quote(verb)}", query)


def query_of(fields: list[tuple[str, str]]) -> str:
    """Fields as a query string."""
    from urllib.parse import urlencode

    return urlencode(fields, quote_via=quote, safe="/:,")
