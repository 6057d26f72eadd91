"""The question as a canonical query string: the state of a page, and what another program can be handed."""

from tonnage.answer import Estimate
from tonnage.question import Question, to_query
from tonnage.render import Style


def render(question: Question, estimate: Estimate, style: Style) -> str:
    """`m=...&q=...`, defaults left out."""
    return to_query(question)
