"""What other programs read: sitemap, robots, a page for agents, a badge, a card to embed."""

from collections.abc import Iterator
from html import escape

from tonnage.pages import dates, templates
from tonnage.pages.listing import by_slug, sizes
from tonnage.pages.scene import Scene
from tonnage.pages.site import Site
from tonnage.pages.texts import ACCURACY, HOW
from tonnage.render import numbers, prose

QUANTS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "MXFP4_MOE", "Q3_K_M", "Q2_K")
"""recipes that have a page of their own for every model"""


def paths() -> Iterator[str]:
    """Every path page, in the order of the map."""
    yield from ("/", "/m/", "/on/", "/compare", "/data/", "/tools/")
    yield from (f"/accuracy/{part}/" if part else "/accuracy/" for part in ACCURACY)
    yield from (f"/how/{engine}/" for engine in HOW)
    yield from (f"/tools/{name}/" for name in ("ram", "power", "transfer", "reads"))
    yield from (f"/on/{slug}/" for slug in by_slug())
    for name, row in sizes().items():
        yield f"/m/{name}/"
        yield from (f"/m/{name}/{quant}/" for quant in QUANTS if quant in row["weights"])


def sitemap(query: str, site: Site) -> str:
    """The map of all path pages, each with the day on which its data last changed."""
    urls = "".join(f"<url><loc>{escape(site.whole(path))}</loc><lastmod>{dates.of_page(path)}</lastmod></url>" for path in paths())
    return f'<?xml version="1.0" encoding="UTF-8"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'


def robots(query: str, site: Site) -> str:
    """What crawlers may read: pages, not questions."""
    lines = ["User-agent: *", f"Disallow: {site.link('/fragment')}", f"Disallow: {site.link('/embed')}", f"Sitemap: {site.whole('/sitemap.xml')}"]
    return "\n".join(lines) + "\n"


def llms(query: str, site: Site) -> str:
    """How a program asks."""
    asked = "m=qwen3.5-122b-a10b&q=Q4_K_M&c=32K&d=RTX%204090&ram=128GB"
    return f"""# Tonnage

> What a large language model takes in memory, where it fits, how fast it runs and what that costs.

Every answer is JSON at one address; bytes are integers, `error` null means exact. No key is needed.

- [An estimate]({site.whole("/api/v1/estimate")}?{asked})
- [Devices that hold it]({site.whole("/api/v1/fit")}?m=qwen3-32b&q=Q4_K_M)
- [The largest context]({site.whole("/api/v1/max-context")}?m=qwen3-32b&q=Q4_K_M&d=24GB)
- [The best quant]({site.whole("/api/v1/best-quant")}?m=qwen3-32b&d=24GB)
- [What goes where]({site.whole("/api/v1/plan")}?{asked})
- [Models]({site.whole("/api/v1/models")}), [devices]({site.whole("/api/v1/devices")})
- [All of it as OpenAPI]({site.whole("/openapi.json")})
- [The tables behind them as JSON and CSV, with sources]({site.whole("/data/")})
- [An answer to embed]({site.whole("/oembed")}?url=) (oEmbed)
- [How exact the answers are]({site.whole("/accuracy/")})
"""


def badge(query: str, site: Site) -> str:
    """A badge for a model card."""
    found = Scene(query, site).estimate
    left, right = (
        f"{found.weights.recipe}, {numbers.tokens(int(found.question['context']))} tokens",
        f"{numbers.gib(prose.start_bytes(found, 'gpu'), 1)} GiB",
    )
    a, b = 7 * len(left) + 14, 7 * len(right) + 16
    words = escape(f"{prose.name(found.model)}, {left}: {right}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{a + b}" height="20" role="img" aria-label="{words}"><title>{words}</title>'
        f'<rect width="{a + b}" height="20" rx="3" fill="#41484f"/><path d="M{a} 0h{b - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{a}z" fill="#2a5ea3"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{a / 2}" y="14">{escape(left)}</text><text x="{a + b / 2}" y="14">{escape(right)}</text></g></svg>'
    )


def embed(query: str, site: Site) -> str:
    """The answer without the frame of the site, for another page to show."""
    scene = Scene(query, site)
    return templates.render("embed.html", **scene.values(), style=templates.style(), answers=templates.answers(), full=site.whole("/"))
