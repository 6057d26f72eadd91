"""The server: what the pages say, over HTTP."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")

from serving import Asker, asking
from tonnage.pages import HERE, reply
from tonnage.render.png import can_draw


@pytest.fixture(scope="module")
def client():
    """A server of the built-in models."""
    with asking() as found:
        yield found


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/", ""),
        ("/fragment", "m=llama-3.1-8b-instruct&q=Q4_K_M"),
        ("/m/llama-3.1-8b-instruct/Q4_K_M/", "d=24GB"),
        ("/api/v1/estimate", "m=llama-3.1-8b-instruct&d=RTX%203090"),
        ("/badge.svg", "m=llama-3.1-8b-instruct"),
        ("/sitemap.xml", ""),
        ("/robots.txt", ""),
        ("/llms.txt", ""),
        ("/openapi.json", ""),
        ("/data/links.csv", ""),
        ("/oembed", "url=http%3A%2F%2Fh%2F%3Fm%3Dllama-3.1-8b-instruct"),
        ("/nowhere", ""),
        ("/fragment", "m=nothing"),
    ],
)
def test_the_server_sends_what_the_pages_say(client: Asker, path: str, query: str) -> None:
    """Status, type and body are those of `reply`."""
    expected = reply(path, query, HERE._replace(cards=can_draw()))
    found = client.get(f"{path}?{query}" if query else path)

    assert (expected.status, expected.body) == (found.status, found.text)
    assert found.headers["content-type"].startswith(expected.type.partition(";")[0])


@pytest.mark.parametrize("target", ["/og/answer.png?m=qwen3-0.6b", "/data/levels.json", "/oembed?url=http://h/?m=qwen3-0.6b"])
def test_pages_of_others_may_read_what_is_made_for_them(client: Asker, target: str) -> None:
    """Cards, tables and oEmbed are open to other origins."""
    pytest.importorskip("resvg_py")
    found = client.get(target)

    assert (200, "*", "cross-origin") == (
        found.status, found.headers["access-control-allow-origin"], found.headers["cross-origin-resource-policy"],
    )  # fmt: skip


def test_a_card_is_sent_as_it_is_drawn(client: Asker) -> None:
    """A picture is sent whole and unpacked, with its type and a version to ask by."""
    pytest.importorskip("resvg_py")
    found = client.get("/og/m/qwen3-0.6b/Q4_K_M.png", {"accept-encoding": "gzip"})

    assert ("image/png", None) == (found.headers["content-type"], found.headers.get("content-encoding"))
    assert reply("/og/m/qwen3-0.6b/Q4_K_M.png").body == found.body
    assert 304 == client.get("/og/m/qwen3-0.6b/Q4_K_M.png", {"if-none-match": found.headers["etag"]}).status
