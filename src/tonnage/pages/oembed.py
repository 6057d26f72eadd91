"""oEmbed 1.0 (oembed.com): what another page shows where an address of ours was pasted, which is the card to embed."""

import json
from html import escape
from urllib.parse import quote, unquote, urlsplit

from tonnage.errors import QuestionError, TonnageError
from tonnage.estimation import estimate
from tonnage.pages import shared
from tonnage.pages.scenario import FIRST
from tonnage.pages.site import NotFoundError, Site
from tonnage.question import fields_of, from_query, to_query
from tonnage.render import card, prose

WIDTH, HEIGHT, LEAST = 640, 400, 200
"""pixels of the card to embed: what it takes at its best width, and what it is shown in at least; where it is narrower it grows"""
MOST = 10_000
QUESTIONS = ("/", "/embed")
"""paths whose query is the question"""


class FormatError(TonnageError):
    """A form of oEmbed that is not spoken here."""

    kind = "not implemented"


def answer(query: str, site: Site) -> str:
    """The card to embed, as JSON; raises TonnageError: for an address that is none of ours, that it is not found."""
    fields = dict(fields_of(query))
    if fields.get("format", "json") != "json":
        raise FormatError("oEmbed is answered in JSON alone: format=json")
    asked = from_query(question_of(fields.get("url", ""), site))
    width = _size(fields, "maxwidth", WIDTH)
    height = _size(fields, "maxheight", HEIGHT + (WIDTH - width) * 2 // 5)
    opened = site.opened(asked)
    title = prose.title(estimate(*opened))
    source = escape(site.whole("/embed", to_query(opened.question)))
    size = f'width="{width}" height="{height}" style="border:0;max-width:100%"'
    frame = f'<iframe src="{source}" title="{escape(title)}" {size} loading="lazy"></iframe>'
    found = {"type": "rich", "version": "1.0", "title": title, "provider_name": "Tonnage", "provider_url": site.whole("/"), "cache_age": 86400}
    found |= {"html": frame, "width": width, "height": height}
    if _bound(fields, "maxwidth") >= card.WIDTH and _bound(fields, "maxheight") >= card.HEIGHT:
        picture = shared.question_card(site, opened.question)
        found |= {"thumbnail_url": picture, "thumbnail_width": card.WIDTH, "thumbnail_height": card.HEIGHT}
    return json.dumps(found, separators=(",", ":"))


def question_of(url: str, site: Site) -> str:
    """The question that an address of ours asks; raises NotFoundError for any other."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise NotFoundError(url or "/oembed without url") from None
    ours = not site.origin or f"{parts.scheme}://{parts.netloc}" == site.origin
    if not url or not ours or not parts.path.startswith(site.base):
        raise NotFoundError(url or "/oembed without url")
    path = parts.path[len(site.base) :]
    if path in QUESTIONS:
        return parts.query or FIRST
    names = path.strip("/").split("/")
    if len(names) == 3 and names[0] == "m":
        own = f"m={quote(unquote(names[1]))}&q={quote(unquote(names[2]))}"
        return f"{own}&{parts.query}" if parts.query else own
    raise NotFoundError(url)


def _size(fields: dict[str, str], name: str, best: int) -> int:
    return max(min(best, _bound(fields, name)), LEAST)


def _bound(fields: dict[str, str], name: str) -> int:
    text = fields.get(name) or str(MOST)
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise QuestionError(f"{name}={text[:40]}: must be a whole number of pixels")
    return int(text)
