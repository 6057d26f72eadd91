"""`tonnage max-context`: the largest context that fits, for each type of cache."""

from collections.abc import Iterator

from tonnage.errors import NoFitError, RefusedError, TonnageError
from tonnage.estimation import engine_of
from tonnage.frozen import replace
from tonnage.question import Question, of_pairs
from tonnage.solve import STEP, Found, in_ram, max_context
from tonnage.source import Opened, open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.found import Case, everything_on, print_found

TYPES = ("f16", "q8_0", "q4_0")
"""types of keys and values that people choose from"""


def run(call: Call) -> int:
    """Print the largest context for every type of cache, or for the one that was asked for."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    cases: list[Case] = []
    refused: TonnageError | None = None
    for name, question in _questions(opened.question):
        try:
            cases.append((name, max_context(question, opened.model, opened.attached, hints=refused is None)))
        except (NoFitError, RefusedError) as error:
            refused = refused or error
    if not cases:
        raise refused or NoFitError("no type of cache fits")
    return print_found(call, opened, "cache", "context", cases, list(_more(opened, *cases[0])))


def _more(opened: Opened, name: str, found: Found) -> Iterator[str]:
    """What parts in RAM would make of the first case."""
    most = opened.model.context
    if isinstance(found.value, int) and found.value + STEP <= most:
        question = next(question for kind, question in _questions(opened.question) if kind == name)
        words = in_ram(replace(question, context=most), opened.model, opened.attached)
        if words:
            yield f"{everything_on(found)} With {words} {most:,} tokens fit, cache {name}: `tonnage plan` finds the best way."


def _questions(question: Question) -> Iterator[tuple[str, Question]]:
    if engine_of(question) != engine_of(replace(question, engine=None)):
        yield question.kv_cache_dtype or "auto", question
    elif question.cache_type_k or question.cache_type_v:
        yield f"{question.cache_type_k or 'f16'}/{question.cache_type_v or 'f16'}", question
    else:
        for kind in TYPES:
            yield kind, replace(question, cache_type_k=kind, cache_type_v=kind)
