"""The answer in a notebook: the drawn bars, and below them the table of the terminal."""

from html import escape

from tonnage.answer import Estimate
from tonnage.render import shown


def render(estimate: Estimate) -> str:
    """A drawing and a table, without any script."""
    return shown("svg", estimate) + preformatted(shown("table", estimate))


def preformatted(text: str) -> str:
    """A text whose columns stay columns."""
    return f"<pre>{escape(text, quote=False)}</pre>"
