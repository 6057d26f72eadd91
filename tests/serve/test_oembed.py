"""oEmbed: an address of ours becomes the card to embed."""

import html
import json
import re
from urllib.parse import quote, urlsplit

import pytest

pytest.importorskip("jinja2")

from tonnage.pages import Site, page, reply

AT = Site(origin="https://tonnage.example", base="/x")
HERE = "https://tonnage.example/x"


def _asked(url: str, more: str = "", site: Site = AT) -> tuple[int, dict[str, object]]:
    found = reply("/oembed", f"url={quote(url, safe='')}{more}", site)
    return found.status, json.loads(found.body)


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("/m/qwen3-0.6b/Q4_K_M/", "m=qwen3-0.6b&q=Q4_K_M"),
        ("/m/qwen3-0.6b/Q4_K_M/?c=8192&d=RTX+4090", "m=qwen3-0.6b&q=Q4_K_M&c=8K&d=RTX%204090"),
        ("/?m=qwen3-0.6b&d=24GB", "m=qwen3-0.6b&d=24GB"),
        ("/embed?m=qwen3-0.6b", "m=qwen3-0.6b"),
        ("/", "m=qwen3.6-27b&q=Q4_K_M&c=32K&d=RTX%204090"),
    ],
)
def test_an_address_becomes_a_frame(url: str, query: str) -> None:
    """All that the version 1.0 asks of a rich answer; the frame shows the question that was pasted."""
    status, found = _asked(HERE + url)
    frame = html.unescape(re.search(r'<iframe src="([^"]+)"', str(found["html"]))[1])

    assert (200, "rich", "1.0", f"{HERE}/embed?{query}") == (status, found["type"], found["version"], frame)
    assert {"html", "width", "height", "title", "provider_name", "provider_url"} <= found.keys()
    parts = urlsplit(frame)
    shown = page(parts.path.removeprefix("/x"), parts.query, AT)
    assert f"<h1>{found['title']}</h1>" in shown


def test_pages_lead_to_it() -> None:
    """The head of a scenario names the address that tells how to embed it, and that address answers."""
    (link,) = re.findall(r'<link rel="alternate" type="application/json\+oembed" href="([^"]+)">', page("/m/qwen3-0.6b/Q4_K_M/", "c=8192", AT))
    parts = urlsplit(html.unescape(link))
    found = reply(parts.path.removeprefix("/x"), parts.query, AT)

    assert "/embed?m=qwen3-0.6b&q=Q4_K_M&c=8K" in html.unescape(json.loads(found.body)["html"])


@pytest.mark.parametrize(("more", "size"), [("", (640, 400)), ("&maxwidth=400", (400, 496)), ("&maxwidth=2000&maxheight=250", (640, 250))])
def test_it_is_as_large_as_there_is_room(more: str, size: tuple[int, int]) -> None:
    """Neither wider nor higher than asked, in the answer and in the frame; what is narrow is high, since its lines break."""
    _, found = _asked(f"{HERE}/?m=qwen3-0.6b", more)

    assert size == (found["width"], found["height"])
    assert f'width="{size[0]}" height="{size[1]}"' in str(found["html"])


def test_a_thumbnail_is_left_out_where_it_is_too_large() -> None:
    """The card is 1200 wide: it is offered to those who have the room alone."""
    assert "thumbnail_url" in _asked(f"{HERE}/?m=qwen3-0.6b")[1]
    assert "thumbnail_url" not in _asked(f"{HERE}/?m=qwen3-0.6b", "&maxwidth=800")[1]


@pytest.mark.parametrize(
    ("url", "more", "status"),
    [
        ("https://elsewhere.example/x/?m=qwen3-0.6b", "", 404),
        ("https://tonnage.example/?m=qwen3-0.6b", "", 404),
        (f"{HERE}/on/rtx-4090/", "", 404),
        (f"{HERE}/?m=no-such-model", "", 404),
        (f"{HERE}/?m=qwen3-0.6b&zzz=1", "", 400),
        (f"{HERE}/?m=qwen3-0.6b", "&maxwidth=wide", 400),
        (f"{HERE}/?m=qwen3-0.6b", "&maxwidth=0", 400),
        (f"{HERE}/?m=qwen3-0.6b", "&format=xml", 501),
        ("http://[::1", "", 404),
        ("", "", 404),
    ],
)
def test_what_is_not_ours_is_refused(url: str, more: str, status: int) -> None:
    """By the statuses of the specification, with an error in the form of the interface."""
    found = _asked(url, more)

    assert status == found[0]
    assert {"kind", "message", "nearest"} == found[1]["error"].keys()


def test_a_name_within_the_frame_is_escaped() -> None:
    """Whatever a question holds, the frame has the attributes that it should."""
    _, found = _asked(f"{HERE}/?m=qwen3-0.6b&d=name%3Da%22%3E%3Cb%2Cmemory%3D24GB")

    assert 2 == str(found["html"]).count("<")
