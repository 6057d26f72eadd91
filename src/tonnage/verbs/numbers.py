"""Options of a calculator that are numbers."""

from tonnage.keys import Key
from tonnage.values import parse
from tonnage.verbs import Call


def number(call: Call, name: str, default: float) -> float:
    """The number that an option was given, or `default`."""
    found = given(call, name)
    return default if found is None else found


def given(call: Call, name: str, unit: str = "") -> float | None:
    """The number that an option was given, with `unit` or without; None where it was not. QuestionError where it is none."""
    value: float | None = parse(Key(name, "number", "", "", unit=unit), call.face.get(name))
    return value
