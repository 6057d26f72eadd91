"""Which questions take long: those behind them in line would wait for seconds, so that they have a line of their own."""

import re

from tonnage.errors import TonnageError
from tonnage.estimation import looks_for_a_plan
from tonnage.pages import Site, compare
from tonnage.question import from_query

SEARCHES = re.compile(r"/api/v1/(plan|fit|max-context|max-users|best-quant|compare)/?")
"""verbs that look through many placements, devices, contexts or recipes"""
ESTIMATES = re.compile(r"/|/fragment|/embed|/badge\.svg|/og/[^/]+|/api/v1/(estimate|speed|cost|reads)/?")
"""paths whose query is one question"""


def is_long(path: str, query: str, site: Site) -> bool:
    """Whether the answer is a search. What is counted to tell it is remembered for the answer; an error is told by the page itself."""
    if SEARCHES.fullmatch(path):
        return True
    try:
        asked = compare.questions(query) if path == "/compare" else [query] if ESTIMATES.fullmatch(path) else []
        return any(_is_searched(one, site) for one in asked)
    except TonnageError:
        return False


def _is_searched(query: str, site: Site) -> bool:
    question = from_query(query)
    return bool(question.device) and looks_for_a_plan(*site.opened(question))
