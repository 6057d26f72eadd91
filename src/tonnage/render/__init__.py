"""An answer in every form that it can be shown in. Rounding happens here and nowhere else."""

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tonnage.answer import Estimate
    from tonnage.question import Question


class Style(NamedTuple):
    """What the place of output can show."""

    colour: bool = False
    bars: bool = False
    width: int = 80


PLAIN = Style()

FORMATS = {
    "table": "tonnage.render.text",
    "json": "tonnage.render.json",
    "csv": "tonnage.render.csv",
    "md": "tonnage.render.markdown",
    "svg": "tonnage.render.svg",
    "url": "tonnage.render.url",
}
"""name -> module with `render(question, estimate, style)`, imported when first asked for"""


def render(name: str, question: "Question", estimate: "Estimate", style: Style = PLAIN) -> str:
    """The answer in the format called `name`, without a newline at its end."""
    text: str = import_module(FORMATS[name]).render(question, estimate, style)
    return text


def shown(name: str, estimate: "Estimate") -> str:
    """The same of an answer alone, which holds its question with all defaults filled in."""
    from tonnage.question import Question

    if name == "html":
        from tonnage.render import html

        return html.render(estimate)
    return render(name, Question(model=str(estimate.question["model"])), estimate)
