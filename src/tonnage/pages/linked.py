"""What a page says to programs that read JSON-LD (schema.org), made of the values that its readers see."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tonnage.pages.site import Site
from tonnage.render.prose import Answered
from tonnage.version import __version__

Thing = Mapping[str, Any]
Crumb = tuple[str, str]
"""(path, name)"""


def script(things: Sequence[Thing]) -> str:
    """Things as the text of a script element, which no sign within them can end; empty for none."""
    if not things:
        return ""
    told = {"@context": "https://schema.org", **(things[0] if len(things) == 1 else {"@graph": [*things]})}
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def application(site: Site, path: str, name: str, about: str) -> Thing:
    """A calculator that runs in a browser, free of charge."""
    return {
        "@type": "WebApplication",
        "name": name,
        "url": site.whole(path),
        "description": about,
        "applicationCategory": "DeveloperApplication",
        "operatingSystem": "any",
        "browserRequirements": "works without JavaScript",
        "softwareVersion": __version__,
        "isAccessibleForFree": True,
        "offers": {"@type": "Offer", "price": 0, "priceCurrency": "USD"},
    }


def breadcrumbs(site: Site, crumbs: Iterable[Crumb]) -> Thing:
    """The way to a page, itself last."""
    items = [
        {"@type": "ListItem", "position": n, "name": name, "item": site.whole(path)} if path else {"@type": "ListItem", "position": n, "name": name}
        for n, (path, name) in enumerate(crumbs, 1)
    ]
    return {"@type": "BreadcrumbList", "itemListElement": items}


def questions(answered: Iterable[Answered]) -> Thing:
    """Questions and answers that stand on the page."""
    return {
        "@type": "FAQPage",
        "mainEntity": [
            {"@type": "Question", "name": entry.question, "acceptedAnswer": {"@type": "Answer", "text": entry.answer}} for entry in answered
        ],
    }
