"""The command line: parse, call, print. Standard output carries the answer alone.

Exit codes: 0 answered (and it fits, where a device was asked about), 1 does not fit, 2 malformed
question, 3 model or file not readable, 4 not supported, 70 a fault of Tonnage itself.
"""

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

from tonnage.errors import QuestionError, TonnageError, nearest
from tonnage.verbs import VERBS, Call, Verb

FAULT, INTERRUPTED = 70, 130

_TELL_THEMSELVES = {"estimate", "plan", "explain"}
"""verbs that print their errors as JSON with the question as they read it"""

COLLECTED_AFTER = 50_000
"""objects: a graph is some thousands that all live until it is walked; to look through them each 700 takes a tenth of the time"""


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the words of a command line; returns the exit code."""
    _set_up(sys.stdout)
    gc.set_threshold(COLLECTED_AFTER)
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _run(words)
        sys.stdout.flush()
    except TonnageError as error:
        code = _fail(error)
    except BrokenPipeError:
        # the reader has seen enough; keep the interpreter from complaining at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception:
        import traceback

        traceback.print_exc()
        print("tonnage: this is a fault of tonnage itself: please report it with the lines above", file=sys.stderr)
        code = FAULT
    return code


def _set_up(out: TextIO) -> None:
    """A terminal that lacks a character shows a `?` for it."""
    reconfigure = getattr(out, "reconfigure", None)
    if reconfigure:
        reconfigure(errors="replace")


def _fail(error: TonnageError) -> int:
    print(f"tonnage: {error}", file=sys.stderr)
    return error.exit_code


def _run(words: Sequence[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        return _help(words[1] if len(words) > 1 else None)
    if words[0] in ("--version", "-V"):
        from tonnage.version import __version__

        print(f"tonnage {__version__}")
        return 0
    verb = verb_of(words[0])
    call = call_of(verb, words[1:], sys.stdout, sys.stderr)
    if call.face.get("help"):
        return _help(verb.name)
    try:
        return int(import_module(verb.module).run(call))
    except TonnageError as error:
        if call.format == "json" and verb.name not in _TELL_THEMSELVES:
            _tell(call, error)
        raise


def _tell(call: Call, error: TonnageError) -> None:
    """An error in the form of the interface."""
    from tonnage.render import json as form

    asked = {**dict(call.pairs), **({"words": list(call.words)} if call.words else {})}
    call.print(form.dumps(form.error(asked, error)))


def _help(name: str | None) -> int:
    from tonnage.verbs import help as pages

    print(pages.overview() if name is None else pages.page(verb_of(name)))
    return 0


def verb_of(name: str) -> Verb:
    """The verb called `name`; QuestionError with the nearest ones otherwise."""
    for verb in VERBS:
        if verb.name == name:
            return verb
    raise QuestionError(f"unknown command {name[:60]!r}; `tonnage --help` lists them", nearest(name[:60], [verb.name for verb in VERBS]))


def call_of(verb: Verb, words: Sequence[str], out: TextIO, errors: TextIO) -> Call:
    """The words behind a verb: options of the face, keys of a question, and the rest."""
    from tonnage.keys import KEYS, OPTIONS  # neither --version nor --help of all verbs waits for them
    from tonnage.question import scan

    face = {spelling: (option.name, option.alone) for option in verb.options for spelling in option.spellings}
    names = {option.name for option in verb.options} - set(KEYS)
    pairs, rest = scan(words, {**OPTIONS, **face} if verb.takes_question else face)
    mine = _face(verb, [(name, value) for name, value in pairs if name in names])
    return Call(verb, tuple(rest), tuple(pair for pair in pairs if pair[0] not in names), mine, out, errors)


def _face(verb: Verb, pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Options of the face by name; one that may be given several times has all its values."""
    mine: dict[str, object] = {}
    many = {option.name for option in verb.options if option.many}
    for name, value in pairs:
        checked = _checked(verb, name, value)
        before = mine.get(name, ())
        mine[name] = (*before, checked) if name in many and isinstance(before, tuple) else checked
    return mine


def _checked(verb: Verb, name: str, value: object) -> object:
    choices = [choice for option in verb.options if option.name == name for choice in option.choices]
    if choices and value not in choices:
        raise QuestionError(f"--{name}={value!r}: must be one of {', '.join(choices)}", nearest(str(value), choices, 1))
    return value
