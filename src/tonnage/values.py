"""The values that keys take: text or JSON -> value -> text, by the key's kind."""

import math
import re
from collections.abc import Callable
from typing import Any

from tonnage.errors import QuestionError, nearest
from tonnage.keys import Key
from tonnage.units import parse_bytes, parse_tokens

MAX_INTEGER = 2**63 - 1
MAX_TEXT = 4096
_MAX_NUMBER_TEXT = 32
_MOST = 10**18
_EXAMPLES = {"/kWh": "0.30", "/h": "0.79", "W": "350", "h": "8", "%": "90"}
"""unit -> a number that it may stand behind"""
_COUNT = r"-?[0-9]+"
_NUMBER = r"[0-9]+(\.[0-9]+)?([eE]-?[0-9]+)?"
_UNITS = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_TRUE, _FALSE = ("true", "on", "yes", "1", ""), ("false", "off", "no", "0")


def parse(key: Key, value: Any) -> Any:
    """The value of `key`, from text or from JSON; a tuple for lists, None where nothing is given."""
    if value is None:
        return None
    if not key.is_list:
        return _parse_one(key, value)
    given = value if isinstance(value, list | tuple) else _split(key, value)
    return tuple(_parse_one(key, item) for item in given) or None


def _split(key: Key, value: Any) -> list[Any]:
    """The items of a written list; `texts` are one item, since names may hold commas."""
    if not isinstance(value, str) or key.kind == "texts":
        return [value]
    return re.split(r"[,/]", value)


def _parse_one(key: Key, value: Any) -> Any:
    if isinstance(value, str) and value.strip().lower() in key.words:
        return key.words[value.strip().lower()]
    if str(value) in key.words and isinstance(value, int) and not isinstance(value, bool):
        return key.words[str(value)]
    return _PARSERS[key.kind](key, value)


def fail(key: Key, value: Any, near: tuple[str, ...] = ()) -> QuestionError:
    """The error that names key, value and what is allowed."""
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return QuestionError(f"{key.name}={shown}: {allowed(key)}", near)


def allowed(key: Key) -> str:
    """What `key` takes, in words."""
    words = "".join(f", or {word}" for word in key.words if word.isalpha() and word not in _TRUE + _FALSE and word not in key.choices)
    if key.kind == "choice":
        return f"must be one of {', '.join(key.choices)}"
    if key.kind == "count":
        least = f" of at least {max(key.minimum, 0)}" if key.minimum else ""
        return f"must be a whole number{least}{words}"
    example = f", such as {_EXAMPLES[key.unit]}{key.unit}" if key.unit else ""
    return _ALLOWED[key.kind] + example + words


_ALLOWED = {
    "text": f"must be text of at most {MAX_TEXT:,} characters, none of them a control character",
    "texts": f"must be text of at most {MAX_TEXT:,} characters, or a list of such",
    "switch": "must be true or false",
    "tokens": "must be a count of tokens such as 32768 or 256K",
    "size": "must be a size such as 512MiB or 24GB",
    "sizes": "must be a size such as 512MiB, or one per device: 512MiB,1GiB",
    "number": "must be a number that is not negative, and below 10^18",
    "numbers": "must be numbers such as 3,1",
}


def _text(key: Key, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
        raise fail(key, value)
    return value.strip()


def _choice(key: Key, value: Any) -> str:
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    for choice in key.choices:
        if choice.lower() == text:
            return choice
    word = {True: "on", False: "off"}.get(value) if isinstance(value, bool) else None
    if word in key.choices:
        return str(word)
    raise fail(key, value, nearest(text, key.choices, 1))


def _switch(key: Key, value: Any) -> bool:
    text = str(value).strip().lower() if isinstance(value, str | int) else None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise fail(key, value)


def _count(key: Key, value: Any) -> int:
    return _integer(key, value, lambda text: int(text) if re.fullmatch(_COUNT, text) else None)


def _tokens(key: Key, value: Any) -> int:
    return _integer(key, value, lambda text: int(text) if text.isdecimal() and text.isascii() else parse_tokens(text))


def _size(key: Key, value: Any) -> int:
    return _integer(key, value, lambda text: int(text) if text.isdecimal() and text.isascii() else parse_bytes(text))


def _integer(key: Key, value: Any, read: Callable[[str], int | None]) -> int:
    """A whole number, as JSON's integer or by `read`, within the key's bounds."""
    number: Any = value
    if isinstance(value, str):
        number = read(value.strip()) if len(value) <= _MAX_NUMBER_TEXT else None
    if not isinstance(number, int) or isinstance(number, bool) or not key.minimum <= number <= MAX_INTEGER:
        raise fail(key, value)
    return number


def _without(text: str, unit: str) -> str:
    """`text` without the unit that may be written behind it, whatever its case."""
    return text[: -len(unit)].rstrip() if unit and text.lower().endswith(unit.lower()) else text


def _number(key: Key, value: Any) -> float:
    number = value
    if isinstance(value, str):
        written = _without(value.strip(), key.unit)
        number = float(written) if len(value) <= _MAX_NUMBER_TEXT and re.fullmatch(_NUMBER, written) else None
        number = number / 100 if number is not None and key.unit == "%" and value.strip().endswith("%") else number
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < _MOST or not math.isfinite(number):
        raise fail(key, value)
    return float(number)


_PARSERS: dict[str, Callable[[Key, Any], Any]] = {
    "text": _text,
    "texts": _text,
    "choice": _choice,
    "switch": _switch,
    "count": _count,
    "tokens": _tokens,
    "size": _size,
    "sizes": _size,
    "number": _number,
    "numbers": _number,
}


def format_value(key: Key, value: Any) -> str:
    """The shortest text that `parse` turns into this single value again."""
    if key.kind in ("count", "tokens"):
        for word, stands_for in key.words.items():
            if stands_for == value:
                return word
    if key.kind == "switch":
        return "true" if value else "false"
    if key.kind == "tokens":
        return f"{value // 1024}K" if value and value % 1024 == 0 else str(value)
    if key.kind in ("size", "sizes"):
        return next((f"{value // unit}{name}" for unit, name in _UNITS if value and value % unit == 0), str(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def format_values(key: Key, value: Any) -> list[str]:
    """The texts by which a value is given: several where an option is repeated."""
    if key.kind == "texts":
        return [format_value(key, item) for item in value]
    return [",".join(format_value(key, item) for item in value) if key.is_list else format_value(key, value)]
