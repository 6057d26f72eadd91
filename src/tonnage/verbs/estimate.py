"""`tonnage estimate`: one question of the command line, or many as JSON lines."""

import sys
from typing import Any, BinaryIO

from tonnage.errors import QuestionError, TonnageError
from tonnage.estimation import estimate
from tonnage.question import Question, from_dict, of_pairs
from tonnage.render import render
from tonnage.source import open_question
from tonnage.verbs import Call
from tonnage.verbs.terminal import style_of
from tonnage.verdict import exit_code, placement_is_free

MAX_LINE_BYTES = 1024 * 1024


def run(call: Call) -> int:
    """Answer; the exit code tells whether it fits."""
    if call.words == ("-",):
        return _lines(call)
    if call.face.get("list"):
        from tonnage.verbs import listing

        return listing.run(call)
    pairs = pairs_of(call)
    try:
        return _one(call, of_pairs(pairs))
    except TonnageError as error:
        if call.format == "json":
            call.print(_error_line(dict(pairs), error))
        raise


def pairs_of(call: Call, words: int = 1) -> list[tuple[str, Any]]:
    """What was asked: the first word is the model, unless an option names it."""
    given = call.words_between(0, words)
    return [*(("model", word) for word in given[:1]), *call.pairs]


def _one(call: Call, question: Question) -> int:
    question, model, attached = open_question(question, call.access)
    answer = estimate(question, model, attached)
    call.print(render(call.format, question, answer, style_of(call)))
    return exit_code(answer.verdict, placement_is_free=placement_is_free(question))


# --- JSON lines -----------------------------------------------------------------------------------


def _lines(call: Call) -> int:
    """One answer or error for every line that is not blank; a bad line stops nothing."""
    if call.pairs:
        raise QuestionError("`estimate -` takes all keys from its JSON lines, none from options")
    number = 0
    while line := _read_line(sys.stdin.buffer):
        number += 1
        if line.strip():
            call.print(_answer_line(line, number))
            call.out.flush()
    return 0


def _read_line(stream: BinaryIO) -> bytes:
    """The next line; of one that is too long the first bytes, the rest is skipped."""
    line = more = stream.readline(MAX_LINE_BYTES + 1)
    while len(line) > MAX_LINE_BYTES and more and not more.endswith(b"\n"):
        more = stream.readline(MAX_LINE_BYTES)
    return line


def _answer_line(line: bytes, number: int) -> str:
    from tonnage.render import json as form

    asked: Any = None
    try:
        asked = _parse(line, number)
        question, model, attached = open_question(from_dict(asked))
        return form.dumps(form.answer(estimate(question, model, attached)))
    except TonnageError as error:
        return _error_line(asked, error)
    except Exception as error:
        return _error_line(asked, _FaultError(f"a fault of tonnage itself: {type(error).__name__}: {error}"))


class _FaultError(TonnageError):
    """What should not happen, told in the form of the interface."""

    kind = "fault"


def _error_line(asked: Any, error: TonnageError) -> str:
    from tonnage.render import json as form

    return form.dumps(form.error(asked, error))


def _parse(line: bytes, number: int) -> Any:
    import json

    if len(line) > MAX_LINE_BYTES:
        raise QuestionError(f"line {number} is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        return json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise QuestionError(f"line {number} is not a JSON object") from None


def _refuse(constant: str) -> None:
    raise ValueError(constant)
