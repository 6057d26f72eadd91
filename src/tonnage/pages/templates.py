"""Templates, read from the package once; they hold markup and no figures."""

from functools import cache
from typing import TYPE_CHECKING, Any

import tonnage.render
from tonnage.render import numbers, svg

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = "templates"


@cache
def text(name: str) -> str:
    """The text of a file among the templates."""
    loader: Any = tonnage.render.__spec__.loader
    return str(loader.get_data(f"{tonnage.render.__path__[0]}/{FOLDER}/{name}").decode())


@cache
def environment() -> "Environment":
    """What templates are rendered in: everything is escaped unless a chart of ours says that it is markup."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    found = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, loader=FunctionLoader(text))
    found.filters.update(
        gib=numbers.gib, gb=numbers.gb, tokens=numbers.tokens, short=svg.short, part=numbers.part_name, params=numbers.parameters,
        rough=numbers.rough, money=numbers.money, seconds=numbers.seconds, percent=numbers.percent, error=numbers.error,
    )  # fmt: skip
    return found


def render(name: str, /, **values: Any) -> str:
    """A template with its values."""
    return environment().get_template(name).render(**values)


def style() -> str:
    """The style sheet that stands in every page."""
    return text("page.css")


def answers() -> str:
    """The style sheet of forms, charts and answers, which pages of text alone do not carry."""
    return text("answer.css")


def script() -> str:
    """The script that stands in every page with a form."""
    return text("page.js")


def early() -> str:
    """The script in the head of every page: the theme that was chosen, before anything is painted."""
    return text("early.js")


@cache
def policy() -> str:
    """Content-Security-Policy: nothing but the style and script of the page itself, by their hashes."""
    from base64 import b64encode
    from hashlib import sha256

    def source(words: str) -> str:
        return f"'sha256-{b64encode(sha256(words.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {source(early())} {source(script())} 'self'; style-src {source(style())} {source(answers())}; "
        "img-src 'self' data:; connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'"
    )
