"""The OpenAPI document, made from the tables of verbs and keys and from the schema of an answer."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tonnage import data
from tonnage.cli import verb_of
from tonnage.keys import KEYS, Key
from tonnage.pages.api import CLOSED, LISTS, TOOLS, VERBS
from tonnage.verbs import Verb
from tonnage.version import __version__

_HERE, _THERE = "#/$defs/", "#/components/schemas/"
"""before the name of a schema: within the schema of an answer, and within this document"""


@cache
def document() -> str:
    """All that can be asked over HTTP, and what is answered, as one line of JSON."""
    paths = {f"/api/v1/{name}": {"get": _operation(verb_of(name))} for name in VERBS}
    told = {
        "title": "Tonnage",
        "version": __version__,
        "description": "What a language model takes in memory, where it fits, how fast it runs. No key; every answer is JSON.",
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    whole = {"openapi": "3.1.0", "info": told, "paths": paths, "components": {"schemas": {**_lifted("answer"), "Error": _ERROR}}}
    return json.dumps(whole, separators=(",", ":"))


def _lifted(name: str) -> dict[str, Any]:
    """A definition of the answer's schema and all that it refers to, as schemas of this document."""
    definitions = data.load_json("schema/answer.json")["$defs"]
    found: dict[str, Any] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if _component(name) not in found:
            found[_component(name)] = _moved(definitions[name])
            waiting += _named(definitions[name])
    return found


def _component(name: str) -> str:
    return name[:1].upper() + name[1:]


def _named(schema: Any) -> Iterator[str]:
    """The definitions that a schema refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].removeprefix(_HERE)
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from _named(item)


def _moved(schema: Any) -> Any:
    """A schema whose references lead to where they stand in this document."""
    if isinstance(schema, dict):
        return {key: _THERE + _component(value.removeprefix(_HERE)) if key == "$ref" else _moved(value) for key, value in schema.items()}
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


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
        _parameter(option.name, option.help, {"type": "string"}, option.many) for option in verb.options if option.name not in {*CLOSED, *KEYS}
    ]
    own = [
        _parameter(option.name, option.help, {"type": "string"}, option.many)
        for option in verb.options
        if option.name in KEYS and not verb.takes_question
    ]
    keys = [_of_key(key) for key in KEYS.values() if key.name != "device_file"] if verb.takes_question else []
    plain = [_parameter(bare, verb.usage, {"type": "string"}, True, required=not verb.usage.startswith("["))] if bare else []
    failed = {
        "description": "a question that cannot be answered",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    shape = {"$ref": "#/components/schemas/Answer"} if verb.name == "estimate" else {"type": "object"}
    good = {"description": verb.help, "content": {"application/json": {"schema": shape}}}
    responses = {"200": good, "400": failed, "404": failed, "414": failed, "422": failed, "429": failed, "503": failed}
    return {"operationId": verb.name.replace("-", "_"), "summary": verb.help, "parameters": [*plain, *options, *own, *keys], "responses": responses}


def _of_key(key: Key) -> Mapping[str, Any]:
    kind = {"switch": "boolean"}.get(key.kind, "string")
    schema = {"type": kind, **({"enum": list(key.choices)} if key.kind == "choice" and not key.words else {})}
    return _parameter(key.short or key.name, f"{key.help}; default: {key.default}", schema, key.is_list, required=key.default == "required")


def _parameter(name: str, words: str, schema: Mapping[str, Any], many: bool, *, required: bool = False) -> Mapping[str, Any]:
    shape = {"type": "array", "items": schema} if many else schema
    return {"name": name, "in": "query", "required": required, "description": words, "schema": shape}
