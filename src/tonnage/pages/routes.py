"""Path -> page."""

import re
from collections.abc import Callable
from typing import NamedTuple

from tonnage.errors import TonnageError
from tonnage.pages import api, cards, compare, feeds, listing, oembed, openapi, scenario, tables, texts, tools
from tonnage.pages.site import HERE, NotFoundError, Site

HTML = "text/html; charset=utf-8"
JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"
XML = "application/xml"
SVG = "image/svg+xml"
PNG = "image/png"
CSV = "text/csv; charset=utf-8"
API, OEMBED = "/api/v1/", "/oembed"
"""what programs read: errors are JSON there"""


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    type: str
    body: str | bytes


Page = Callable[..., str | bytes]

ROUTES: tuple[tuple[str, Page, str], ...] = (
    (r"/", scenario.home, HTML),
    (r"/fragment", scenario.fragment, HTML),
    (r"/m/", listing.models, HTML),
    (r"/m/([^/]+)/", listing.model, HTML),
    (r"/m/([^/]+)/([^/]+)/", scenario.page, HTML),
    (r"/on/", listing.all_devices, HTML),
    (r"/on/([^/]+)/", listing.device, HTML),
    (r"/compare", compare.page, HTML),
    (r"/accuracy/", texts.accuracy, HTML),
    (r"/accuracy/([^/]+)/", texts.accuracy, HTML),
    (r"/how/([^/]+)/", texts.how, HTML),
    (r"/tools/", tools.index, HTML),
    (r"/tools/([^/]+)/", tools.page, HTML),
    (r"/data/", tables.index, HTML),
    (r"/data/([^/]+)\.json", tables.as_json, JSON),
    (r"/data/([^/]+)\.csv", tables.as_csv, CSV),
    (r"/embed", feeds.embed, HTML),
    (r"/oembed", oembed.answer, JSON),
    (r"/badge\.svg", feeds.badge, SVG),
    (r"/og/tonnage\.png", cards.general, PNG),
    (r"/og/answer\.png", cards.answer, PNG),
    (r"/og/m/([^/]+)\.png", cards.model, PNG),
    (r"/og/m/([^/]+)/([^/]+)\.png", cards.scenario, PNG),
    (r"/og/on/([^/]+)\.png", cards.device, PNG),
    (r"/sitemap\.xml", feeds.sitemap, XML),
    (r"/robots\.txt", feeds.robots, PLAIN),
    (r"/llms\.txt", feeds.llms, PLAIN),
    (r"/api/v1/([^/]+)/?", lambda query, site, verb: api.answer(verb, query, site), JSON),
    (r"/openapi\.json", lambda query, site: openapi.document(), JSON),
)
"""pattern of a path, the function that makes its page of (query, site, *groups), and its type"""

STATUS = {"not found": 404, "source": 404, "corrupt": 422, "unsupported": 422, "no fit": 422, "not implemented": 501}
"""kind of an error -> status; all others are 400"""


def fragment(query: str, site: Site = HERE) -> str:
    """The answer to a query as HTML without a frame; raises TonnageError."""
    return scenario.fragment(query, site)


def page(path: str, query: str = "", site: Site = HERE) -> str:
    """The page at a path, a text; raises TonnageError, NotFoundError for a path that is none."""
    make, groups, _ = find(path)
    return str(make(query, site, *groups))


def find(path: str) -> tuple[Page, tuple[str, ...], str]:
    """The function of a path, the names in it, and the type of what it makes."""
    from urllib.parse import unquote

    for pattern, make, kind in ROUTES:
        match = re.fullmatch(pattern, path) or re.fullmatch(pattern, path + "/")
        if match:
            return make, tuple(unquote(group) for group in match.groups()), kind
    raise NotFoundError(path)


def reply(path: str, query: str = "", site: Site = HERE) -> Reply:
    """The page with its status; an error is a page of its own that names what is near."""
    try:
        make, groups, kind = find(path)
        return Reply(200, kind, make(query, site, *groups))
    except TonnageError as error:
        status = STATUS.get(error.kind, 400)
        if path.startswith((API, OEMBED)):
            return Reply(status, JSON, api.failed(error, query))
        return Reply(status, HTML, scenario.failed(error, status, path, query, site))
