"""Help: written from the tables of verbs and keys, in 80 columns."""

import textwrap
from collections.abc import Iterator

from tonnage.keys import GROUPS, Key
from tonnage.verbs import VERBS, Option, Verb

_WIDTH = 80
_INDENT = 26


def overview() -> str:
    """What `tonnage --help` prints."""
    lines = ["usage: tonnage VERB ...", "", "What a large language model weighs in memory, exactly.", ""]
    for verb in VERBS:
        lines += _entry(f"{verb.name} {verb.usage}", verb.help)
    lines += ["", "`tonnage VERB --help` tells the options of a verb; `tonnage --version` the version.", *_examples(VERBS[0])]
    return "\n".join(lines)


def page(verb: Verb) -> str:
    """What `tonnage VERB --help` prints."""
    lines = [f"usage: tonnage {verb.name} {verb.usage}", "", *textwrap.wrap(sentence(verb.help), _WIDTH), *_examples(verb), "", "options"]
    for option in verb.options:
        lines += _entry(_option(option), option.help)
    for group in GROUPS if verb.takes_question else ():
        lines += ["", group.title]
        for key in group.keys:
            lines += _entry(spelling(key), described(key))
    return "\n".join(lines)


def sentence(text: str) -> str:
    """The text with a capital and a full stop."""
    return text[:1].upper() + text[1:] + "."


def _examples(verb: Verb) -> list[str]:
    return ["", "examples", *(f"  {example}" for example in verb.examples)] if verb.examples else []


def _entry(left: str, right: str) -> Iterator[str]:
    """A name and what it means, side by side where the name is short enough."""
    lines = textwrap.wrap(right, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False)
    if len(left) + 4 > _INDENT:
        yield f"  {left}"
    else:
        yield f"  {left:<{_INDENT - 2}}{lines.pop(0)}"
    yield from (" " * _INDENT + line for line in lines)


def _option(option: Option) -> str:
    value = "" if option.alone else f" {option.metavar or '|'.join(option.choices)}"
    return ", ".join(sorted(option.spellings, key=len)) + value


def spelling(key: Key) -> str:
    """How a key is written on the command line: short option, long option, value."""
    short = f"-{key.short}, " if key.short else ""
    if key.kind == "switch":
        return f"{short}{key.option.replace('--', '--[no-]', 1)}"
    return f"{short}{key.option} {metavar(key)}"


def metavar(key: Key) -> str:
    """What stands for the key's value."""
    if key.kind == "choice" and len(key.choices) <= 5:
        return "|".join(key.choices)
    return key.metavar or {"choice": "TYPE", "count": "N", "number": "X"}.get(key.kind, "VALUE")


def described(key: Key) -> str:
    """What a key means, its default, and the engines' spellings."""
    others = [*key.aliases, *key.flags]
    also = f"; also {' '.join(others)}" if others else ""
    return f"{key.help} (default: {key.default}{also})"
