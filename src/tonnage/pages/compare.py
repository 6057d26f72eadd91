"""Two scenarios side by side: `a` and `b` are questions of their own, as query strings."""

from collections.abc import Iterator
from typing import Any

from tonnage.answer import Estimate
from tonnage.estimation import estimate
from tonnage.pages import templates
from tonnage.pages.scenario import frame, model_names
from tonnage.pages.site import Site
from tonnage.question import fields_of, from_query
from tonnage.render import numbers, prose

FIRST = ("m=qwen3.5-122b-a10b&q=Q4_K_M&c=131072", "m=gpt-oss-120b&c=131072")


def page(query: str, site: Site) -> str:
    """The answers to both, part by part."""
    asked = questions(query)
    found = [estimate(*site.opened(from_query(question))) for question in asked]
    title = " or ".join(prose.name(one.model) for one in found) + "?"
    values = frame(
        site, title=title, canonical=site.whole("/compare"), description=f"{title} Memory, part by part.", robots="" if not query else "noindex"
    )
    held = [dict(fields_of(question)) for question in asked]
    links = [site.link("/", question) for question in asked]
    return templates.render("compare.html", found=found, rows=[*_rows(found)], head=title, held=held, links=links, models=model_names(), **values)


def questions(query: str) -> list[str]:
    """Both questions as query strings: those asked, else the first ones."""
    fields = dict(fields_of(query))
    return [_asked(fields, name) or first for name, first in zip("ab", FIRST, strict=True)]


def _asked(fields: dict[str, str], name: str) -> str:
    """A question as one field `a`, or as fields `a.m`, `a.q`, `a.c`, `a.d`."""
    from urllib.parse import urlencode

    if fields.get(name):
        return fields[name]
    own = {key[2:]: value for key, value in fields.items() if key.startswith(f"{name}.") and value}
    return urlencode(own) if "m" in own else ""


def _rows(found: list[Estimate]) -> Iterator[tuple[str, list[str]]]:
    yield "Quant", [one.weights.recipe for one in found]
    yield "Context", [numbers.tokens(int(one.question["context"])) for one in found]
    yield "Parameters", [numbers.parameters(one.model.parameters.text) for one in found]
    yield "Active per token", [numbers.parameters(one.model.parameters.active) for one in found]
    yield "Trained for", [numbers.tokens(one.model.context) for one in found]
    for part in dict.fromkeys(part.part for one in found for device in one.devices if device.kind != "host" for part in device.parts):
        yield f"{numbers.part_name(part)}, GiB", [_gib(one, part) for one in found]
    yield "On the GPUs, GiB", [numbers.gib(prose.start_bytes(one, "gpu")) for one in found]
    yield "In host memory, GiB", [numbers.gib(prose.start_bytes(one, "host")) for one in found]
    if any(one.verdict for one in found):
        yield "Verdict", [prose.chip(one)[2] or "–" for one in found]
    if any(one.speed for one in found):
        yield "Tokens per second", [_rate(one) for one in found]


def _gib(one: Estimate, part: str) -> str:
    nbytes = sum(p.bytes for device in one.devices if device.kind != "host" for p in device.parts if p.part == part)
    return numbers.gib(nbytes) if nbytes else "–"


def _rate(one: Estimate) -> str:
    rate: Any = (one.speed or {}).get("decode_tokens_per_second")
    return f"{numbers.rough(rate['low'])} to {numbers.rough(rate['high'])}" if rate else "–"
