"""Every page of the site as a file."""

import gc
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from html import escape
from typing import NamedTuple

from tonnage.cli import COLLECTED_AFTER
from tonnage.model import catalogue
from tonnage.pages import HERE, Site, listing, reply, shared, tables
from tonnage.pages.feeds import paths
from tonnage.pages.templates import policy
from tonnage.render.png import can_draw
from tonnage.site.engine import FOLDER, Engine

MORE = ("/sitemap.xml", "/robots.txt")
"""files beside the pages"""
TOLD = 12
"""how often a build tells how far it is"""
_BATCH = 16
_SERVED = re.compile(
    r'<link rel="alternate" type="application/json"[^>]*>\n?'
    r'|<a href="[^"]*/(?:api/v1/[^"]*|openapi\.json|llms\.txt)"[^>]*>[^<]*</a>'
)
"""links to what a server alone can answer"""


class Built(NamedTuple):
    """What was written."""

    pages: int
    nbytes: int
    skipped: tuple[str, ...]
    """pages that cannot be made, with the reason"""


def targets() -> Iterator[str]:
    """Every page and file that has an address of its own."""
    yield from dict.fromkeys((*paths(), "/tools/", *MORE, *tables.paths(), *_cards()))


def _cards() -> Iterator[str]:
    """Cards for links: of models and the general one, since drawing takes 40 ms and there are seven scenarios to a model."""
    if can_draw():
        yield shared.GENERAL
        yield from (shared.model_card(HERE, name) for name in listing.sizes())


def batches() -> list[tuple[str, ...]]:
    """All of it, the pages of a model together: they share its walks, and models of like size those that they are held against."""
    totals = {f"/m/{entry['name']}/": int(entry["total"]) for entry in catalogue.index()}
    groups: dict[str, list[str]] = {}
    rest: list[str] = []
    for target in sorted(targets()):
        own = "/".join(target.split("/")[:3]) + "/"
        (groups.setdefault(own, []) if own in totals else rest).append(target)
    models = sorted(groups, key=lambda own: -totals[own])
    return [*(tuple(groups[own]) for own in models), *(tuple(rest[i : i + _BATCH]) for i in range(0, len(rest), _BATCH))]


def build(folder: str, site: Site, engine: Engine | None, processes: int = 0, told: Callable[[str], None] = print) -> Built:
    """Write the site; pages of one model are made by one process, which then remembers the model."""
    every = batches()
    total, step = sum(map(len, every)), max(len(every) // TOLD, 1)
    site = site._replace(served=False, cards=can_draw())
    pages = nbytes = 0
    skipped: list[str] = []
    with ProcessPoolExecutor(processes or os.cpu_count(), initializer=gc.set_threshold, initargs=(COLLECTED_AFTER,)) as pool:
        for n, part in enumerate(pool.map(partial(_write, folder, site, engine is not None), every)):
            pages, nbytes = pages + part.pages, nbytes + part.nbytes
            skipped += part.skipped
            if n % step == 0:
                told(f"{pages + len(skipped):,} of {total:,} pages")
    _put(folder, "/404.html", reply("/404/", "", site).body)
    _put(folder, "/_headers", _headers(site, engine is not None))
    if engine:
        engine.copy(os.path.join(folder, FOLDER))
    return Built(pages, nbytes, tuple(skipped))


def _write(folder: str, site: Site, engine: bool, targets: Sequence[str]) -> Built:
    """A batch of pages."""
    pages = nbytes = 0
    skipped: list[str] = []
    for target in targets:
        found = reply(target, "", site)
        if found.status != 200:
            skipped.append(f"{target}: {found.status}")
            continue
        body = _finished(str(found.body), site, engine) if found.type.startswith("text/html") else found.body
        pages, nbytes = pages + 1, nbytes + _put(folder, target, body)
    return Built(pages, nbytes, tuple(skipped))


def _finished(html: str, site: Site, engine: bool) -> str:
    """A page with the policy that no server sends for it, links that lead to files, and the script of the engine where it asks."""
    html = _SERVED.sub("", html)
    html = re.sub(rf'href="{re.escape(site.base)}(/m/([^/"]+)/([^/"]+)/)"', lambda found: _scenario(site, *found.groups()), html)
    told = f'<meta http-equiv="Content-Security-Policy" content="{escape(policy_here())}">'
    html = html.replace('<meta charset="utf-8">', '<meta charset="utf-8">\n' + told, 1)
    if engine and '<form name="ask"' in html:
        html = html.replace("</body>", f'<script src="{escape(site.link(f"/{FOLDER}/engine.js"))}" defer></script>\n</body>', 1)
    return html


def _scenario(site: Site, path: str, model: str, quant: str) -> str:
    """A link to a scenario: to its page where it has one, else to the calculator."""
    return f'href="{site.link(path)}"' if path in _known() else f'href="{site.link("/", f"m={model}&amp;q={quant}")}"'


@cache
def _known() -> frozenset[str]:
    return frozenset(targets())


def policy_here() -> str:
    """The policy of the pages, which also lets the engine be compiled."""
    return policy().replace("script-src ", "script-src 'wasm-unsafe-eval' ", 1) if "wasm-unsafe-eval" not in policy() else policy()


def _put(folder: str, target: str, body: str | bytes) -> int:
    path = os.path.join(folder, *target.strip("/").split("/"))
    if target.endswith("/") or not (os.path.splitext(path)[1] or target.startswith("/_")):
        path = os.path.join(path, "index.html")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = body if isinstance(body, bytes) else body.encode()
    with open(path, "wb") as file:
        file.write(data)
    return len(data)


def _headers(site: Site, engine: bool) -> str:
    """What hosts that heed such a file (Netlify, Cloudflare Pages) send with the pages."""
    lines = ["/*", "  X-Content-Type-Options: nosniff", "  Referrer-Policy: no-referrer"]
    lines.append(f"  Content-Security-Policy: {policy_here()}; frame-ancestors 'none'")
    if engine:
        lines += [f"{site.base}/{FOLDER}/*", "  Cache-Control: public, max-age=31536000, immutable"]
    return "\n".join(lines) + "\n"
