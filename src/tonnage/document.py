"""What a verb answers to a program in Python: the document of `--json`, which a person can read too."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from io import StringIO
from json import loads
from typing import Any

from tonnage.cli import call_of, verb_of
from tonnage.errors import QuestionError, nearest
from tonnage.keys import KEYS
from tonnage.question import Pair, pairs_of_dict
from tonnage.verbs import Call, Option, Verb

ASKED = (
    "estimate", "plan", "fit", "quants", "max-context", "max-users", "best-quant", "compare", "speed", "cost", "reads", "models", "devices", "detect",
    "ram", "power", "transfer",
)  # fmt: skip
"""verbs that answer with a document; the others print, serve or change something"""
_CLOSED = ("format", "colour", "help", "list", "names")
"""options that speak of the terminal, or answer with something else"""


class Document(Mapping[str, Any]):
    """The keys of `tonnage VERB --json`; its text is the table that the terminal shows."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._json, self.exit_code = _run(call, "json")
        """exit_code: 0 where it fits or nothing was asked to, 1 where it does not"""
        self._keys: Mapping[str, Any] = loads(self._json)

    def __getitem__(self, key: str) -> Any:
        return self._keys[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def to_json(self) -> str:
        """One line, byte for byte what the command line prints with `--json`."""
        return self._json

    @cached_property
    def _table(self) -> str:
        return _run(self._call, "table")[0]

    def __str__(self) -> str:
        return self._table

    def __repr__(self) -> str:
        return f"<tonnage {self._call.verb.name}: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        from tonnage.render.html import preformatted

        return preformatted(self._table)


def document(name: str, words: tuple[str, ...], keys: Mapping[str, Any]) -> Document:
    """The answer of the verb called `name`, underscores or dashes; QuestionError where it has none or a key is unknown."""
    name = name.replace("_", "-")
    if name not in ASKED:
        raise QuestionError(f"no document answers to {name[:60]!r}", nearest(name[:60], ASKED))
    verb = verb_of(name)
    return Document(_call(verb, words, keys))


def _call(verb: Verb, words: tuple[str, ...], keys: Mapping[str, Any]) -> Call:
    """Options of the verb, as the command line would have them, then the keys of the question as they are."""
    options = {option.name: option for option in verb.options if option.name not in _CLOSED}
    spelled = [word for name, value in keys.items() if name in options for word in _spelled(options[name], value)]
    call = call_of(verb, spelled, StringIO(), StringIO())
    return call._replace(words=words, pairs=(*call.pairs, *_pairs(verb, options, keys)))


def _pairs(verb: Verb, options: Mapping[str, Option], keys: Mapping[str, Any]) -> list[Pair]:
    rest = {name: value for name, value in keys.items() if name not in options}
    if rest and not verb.takes_question:
        name = next(iter(rest))
        raise QuestionError(f"unknown key {name[:60]!r}", nearest(name[:60], options))
    return pairs_of_dict(rest)


def _spelled(option: Option, value: Any) -> list[str]:
    """An option as a word for each of its values; None and False are not given."""
    if value is None or value is False:
        return []
    if option.alone is not None:
        return [option.spellings[0]]
    values = value if isinstance(value, list | tuple) else (value,)
    if not option.many and option.name not in KEYS:
        values = (",".join(map(str, values)),)
    return [f"{option.spellings[0]}={one}" for one in values]


def _run(call: Call, form: str) -> tuple[str, int]:
    out = StringIO()
    code = int(import_module(call.verb.module).run(call._replace(out=out, face={**call.face, "format": form})))
    return out.getvalue().removesuffix("\n"), code
