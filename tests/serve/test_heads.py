"""What a page says to programs: JSON-LD made of the values that readers see, and dates in the map."""

import html
import json
import re
from typing import Any

import pytest

pytest.importorskip("jinja2")

from tonnage.pages import Site, dates, feeds, linked, page
from tonnage.pages.templates import policy

AT = Site(origin="https://tonnage.example", base="/x")
SCENARIO = "/m/qwen3.5-122b-a10b/Q4_K_M/"
PAGES = ("/", SCENARIO, "/m/qwen3-0.6b/", "/on/rtx-4090/", "/tools/ram/", "/data/")
BLOCK = re.compile(r'<script type="application/ld\+json">(.*?)</script>', re.DOTALL)


def _things(path: str) -> list[dict[str, Any]]:
    (block,) = BLOCK.findall(page(path, "", AT))
    told = json.loads(block)
    assert "https://schema.org" == told.pop("@context")
    return told.get("@graph", [told])


def _seen(path: str) -> str:
    """The words that a reader sees."""
    body = BLOCK.sub("", page(path, "", AT).partition("<body>")[2])
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.mark.parametrize(
    ("path", "kinds"),
    [
        ("/", {"WebApplication", "FAQPage"}),
        (SCENARIO, {"BreadcrumbList", "FAQPage"}),
        ("/m/qwen3-0.6b/", {"BreadcrumbList"}),
        ("/on/rtx-4090/", {"BreadcrumbList"}),
        ("/tools/ram/", {"WebApplication", "BreadcrumbList"}),
        ("/data/", {"Dataset"}),
    ],
)
def test_pages_say_what_they_are(path: str, kinds: set[str]) -> None:
    """Each kind of page has the types of schema.org that suit it."""
    assert kinds == {thing["@type"] for thing in _things(path)}


@pytest.mark.parametrize("path", ["/", SCENARIO])
def test_questions_are_those_on_the_page(path: str) -> None:
    """Every question and answer for programs stands among the words for readers, sign by sign."""
    (found,) = (thing for thing in _things(path) if thing["@type"] == "FAQPage")
    seen = _seen(path)

    assert 2 <= len(found["mainEntity"])
    for entry in found["mainEntity"]:
        assert f"{entry['name']} {entry['acceptedAnswer']['text']}" in seen


@pytest.mark.parametrize("path", [SCENARIO, "/m/qwen3-0.6b/", "/on/rtx-4090/", "/tools/ram/"])
def test_the_way_to_a_page_is_the_one_shown(path: str) -> None:
    """Names, order and links of the breadcrumbs are those that a reader sees."""
    (found,) = (thing for thing in _things(path) if thing["@type"] == "BreadcrumbList")
    (shown,) = re.findall(r'<nav class="crumbs"[^>]*>(.*?)</nav>', page(path, "", AT), re.DOTALL)
    items = found["itemListElement"]

    assert " › ".join(item["name"] for item in items) == " ".join(re.sub(r"<[^>]+>", "", shown).split())
    assert [f"https://tonnage.example{link}" for link in re.findall(r'href="([^"]+)"', shown)] == [item["item"] for item in items if "item" in item]
    assert [*range(1, len(items) + 1)] == [item["position"] for item in items]


def test_no_value_ends_the_block() -> None:
    """Markup within a value is written so that no HTML parser takes it for the end of the script."""
    text = linked.script([{"@type": "Thing", "name": "</script><!--&\u2028"}])

    assert not re.search(r"[<>&\u2028]", text)
    assert "</script><!--&\u2028" == json.loads(text)["name"]
    assert "" == linked.script([])


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_needs_no_exception(path: str) -> None:
    """JSON-LD is data and no script: it stands in no hash, and every other block of script does."""
    from base64 import b64encode
    from hashlib import sha256

    for script in re.findall(r"<script>(.*?)</script>", page(path, "", AT), re.DOTALL):
        assert b64encode(sha256(script.encode()).digest()).decode() in policy()
    assert "unsafe" not in policy()


def test_every_page_of_the_map_has_a_date() -> None:
    """The day on which its data last changed: of a model its row, of a device its table."""
    rows = re.findall(r"<loc>([^<]*)</loc><lastmod>(\d{4}-\d\d-\d\d)</lastmod>", feeds.sitemap("", AT))

    assert [AT.whole(path) for path in feeds.paths()] == [path for path, _ in rows]
    assert dates.changed(["models/Qwen--Qwen3-0.6B.json"]) == dates.of_page("/m/qwen3-0.6b/Q4_K_M/")
    assert dates.changed(["devices.json", "sizes.json"]) == dates.of_page("/on/rtx-4090/")
