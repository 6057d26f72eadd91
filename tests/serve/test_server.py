"""The server: what the pages say, over HTTP."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")

from serving import Asker, asking
from tonnage.pages import reply


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
        ("/nowhere", ""),
        ("/fragment", "m=nothing"),
    ],
)
def test_the_server_sends_what_the_pages_say(client: Asker, path: str, query: str) -> None:
    """Status, type and body are those of `reply`."""
    expected = reply(path, query)
    found = client.get(f"{path}?{query}" if query else path)

    assert (expected.status, expected.body) == (found.status, found.text)
    assert found.headers["content-type"].startswith(expected.type.partition(";")[0])
