"""Write src/tonnage/data/schema/question.json from the table of keys."""

import json
from pathlib import Path
from typing import Any

from tonnage.keys import KEYS, Key
from tonnage.values import MAX_INTEGER, MAX_TEXT, allowed

TARGET = Path(__file__).parent.parent / "src/tonnage/data/schema/question.json"
_COUNT = r"^\s*-?[0-9]+\s*$"
_TOKENS = r"^\s*[0-9][0-9,_]*(\.[0-9]+)?\s*[kKmM]?\s*$"
_SIZE = r"^\s*[0-9]+(\.[0-9]+)?\s*[kKmMgGtTpP]?i?[bB]?\s*$"
_NUMBER = r"^\s*[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?\s*$"


def question_schema() -> dict[str, Any]:
    """The schema of a question in JSON, by our own names of its keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:tonnage:question:1",
        "title": "A question to Tonnage",
        "description": "Sizes are bytes or text such as 24GB (10^9) and 24GiB (2^30); counts of tokens are integers or text such as 256K (262,144).",
        "type": "object",
        "required": ["model"],
        "additionalProperties": False,
        "properties": {key.name: _property(key) for key in KEYS.values()},
    }


def _property(key: Key) -> dict[str, Any]:
    about = {"description": f"{key.help}; {allowed(key)}", "x-default": key.default}
    one = _one(key)
    if key.is_list:
        return {**about, "anyOf": [_written(key), one, {"type": "array", "items": one}]}
    return {**about, **one}


def _written(key: Key) -> dict[str, Any]:
    """A list as text."""
    return {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}


def _one(key: Key) -> dict[str, Any]:
    words = [{"enum": [word for word in key.words if word.isalpha()]}] if key.words and key.kind != "choice" else []
    whole = {"type": "integer", "minimum": key.minimum, "maximum": MAX_INTEGER}
    forms: dict[str, list[dict[str, Any]]] = {
        "text": [{"type": "string", "minLength": 1, "maxLength": MAX_TEXT, **({"examples": list(key.choices)} if key.choices else {})}],
        "choice": [{"enum": list(key.choices)}],
        "switch": [{"type": "boolean"}],
        "count": [whole, {"type": "string", "pattern": _COUNT}],
        "tokens": [whole, {"type": "string", "pattern": _TOKENS}],
        "size": [whole, {"type": "string", "pattern": _SIZE}],
        "number": [{"type": "number", "minimum": 0, "maximum": MAX_INTEGER}, {"type": "string", "pattern": _number(key)}],
    }
    found = forms[key.kind.removesuffix("s") if key.is_list else key.kind] + words
    return found[0] if len(found) == 1 else {"anyOf": found}


def _number(key: Key) -> str:
    """The pattern of a number, with the unit that may follow it in any case."""
    unit = "".join(f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in key.unit)
    return _NUMBER[:-1] + rf"({unit})?\s*$" if unit else _NUMBER


def text() -> str:
    """The file as it is stored."""
    return json.dumps(question_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
