"""Patterns of strangers: which of them are sure to be matched in short time.

`override_tensor` holds regular expressions. Python's engine tries every way to match, and holds the whole worker meanwhile:
`(a+)+b` takes longer than anyone waits. Repeats of single characters, and few of them, cannot do that.
"""

import re
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST_REPEATS = 3
"""repeats in one pattern: each multiplies the ways to match by the length of a tensor's name"""
MOST_PATTERNS = 256
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
_SINGLE = (codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY)


def is_tame(value: str) -> bool:
    """Whether every pattern of a value, parted by commas, is matched in short time. What is no pattern is refused elsewhere."""
    patterns = value.split(",")
    return len(patterns) <= MOST_PATTERNS and all(_tame(pattern) for pattern in patterns if re.search(r"[*+{?]", pattern))


def _tame(pattern: str) -> bool:
    try:
        repeats = [*_repeats(parser.parse(pattern))]
    except (re.error, RecursionError, OverflowError, ValueError):
        return True
    return len(repeats) <= MOST_REPEATS and all(len(body) == 1 and body[0][0] in _SINGLE for body in repeats)


def _repeats(parsed: Any) -> Iterator[Any]:
    """The bodies of all repeats; `?` is none."""
    for code, argument in parsed:
        if code in _REPEATS:
            _, most, body = argument
            if most > 1:
                yield body
            yield from _repeats(body)
        else:
            for inner in _inner(code, argument):
                yield from _repeats(inner)


def _inner(code: Any, argument: Any) -> Iterator[Any]:
    if code == codes.BRANCH:
        yield from argument[1]
    elif code in (codes.SUBPATTERN, codes.ASSERT, codes.ASSERT_NOT):
        yield argument[-1]
    elif code == codes.ATOMIC_GROUP:
        yield argument
    elif code == codes.GROUPREF_EXISTS:
        yield from (part for part in argument[1:] if part)
