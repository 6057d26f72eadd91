"""The static site: every page as a file, and nothing that leads nowhere."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("jinja2")

from tonnage.pages import HERE, page, reply, shared, tables
from tonnage.pages.feeds import paths
from tonnage.site import build

FILES = HERE._replace(served=False)
SOME = [
    "/", "/m/", "/m/qwen3-0.6b/", "/m/qwen3-0.6b/Q4_K_M/", "/on/rtx-4090/", "/tools/ram/", "/compare", "/sitemap.xml", "/robots.txt",
    "/how/llama.cpp/",
]  # fmt: skip


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """A few pages of each kind, written with the script of the engine."""
    folder = tmp_path_factory.mktemp("site")
    for target in SOME:
        build._write(str(folder), FILES._replace(base="/x"), True, [target])
    return folder


def test_every_path_has_a_file(some):
    """Where a host looks for it: a page is the index of its folder."""
    for target in SOME:
        path = some / target.strip("/")
        assert (path if path.suffix in (".xml", ".txt") else path / "index.html").is_file(), target


def test_a_page_is_what_the_server_sends(some):
    """But for the policy that no server sends for it, links to what a server alone answers, and the script that starts the engine."""
    html = (some / "m/qwen3-0.6b/Q4_K_M/index.html").read_text()
    html = re.sub(r'\n<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    html = re.sub(r"<script src=[^>]*></script>\n", "", html)
    served = page("/m/qwen3-0.6b/Q4_K_M/", "", FILES._replace(base="/x"))
    assert build._SERVED.sub("", served) == html


def test_only_pages_that_ask_start_the_engine(some):
    """The others have nothing to ask."""
    started = {target for target in SOME if target[-1] == "/" and "engine.js" in (some / target.strip("/") / "index.html").read_text()}
    assert {"/", "/m/qwen3-0.6b/Q4_K_M/"} == started


def test_the_policy_lets_the_engine_be_compiled(some):
    """And lets nothing in from elsewhere."""
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', (some / "index.html").read_text())
    assert ("wasm-unsafe-eval" in policy, "unsafe-inline" in policy, "http" in policy.replace("&#x27;", "'")) == (True, False, False)


@pytest.mark.parametrize("target", ["/", "/m/qwen3-0.6b/", "/m/qwen3-0.6b/Q4_K_M/", "/on/rtx-4090/", "/m/", "/on/", "/tools/"])
def test_links_lead_to_pages_of_the_site(target):
    """A path that a page names has a page; a question is asked at the calculator."""
    known = {*build.targets()}
    found = re.findall(r'href="(/[^"]*)"', build._finished(page(target, "", FILES), FILES, True))
    links = {unquote(link.partition("?")[0].partition("#")[0]) for link in found}
    assert set() == {link for link in links if "/engine/" not in link} - known


def test_tables_and_cards_are_files(tmp_path):
    """Downloads, a card for each model and the general one are written beside the pages, byte for byte what the server sends."""
    assert {*tables.paths()} <= {*build.targets()}
    build._write(str(tmp_path), FILES, False, ["/data/", "/data/links.csv", "/data/links.json"])
    assert reply("/data/links.csv").body == (tmp_path / "data/links.csv").read_text()
    pytest.importorskip("resvg_py")
    card = shared.model_card(HERE, "qwen3-0.6b")
    assert {card, shared.GENERAL} <= {*build.targets()}
    build._write(str(tmp_path), FILES, False, [card])
    assert reply(card).body == (tmp_path / card.strip("/")).read_bytes()


@pytest.mark.parametrize("target", ["/", "/m/qwen3-0.6b/", "/m/qwen3-0.6b/Q4_K_M/", "/on/rtx-4090/", "/tools/ram/", "/data/"])
def test_a_page_of_files_names_cards_that_are_files(target):
    """A scenario has its model's card, a device the general one; nothing tells how to embed, since no server answers."""
    html = page(target, "", FILES)
    (card,) = re.findall(r'<meta property="og:image" content="([^"]*)">', html)
    assert card in {shared.GENERAL, shared.model_card(HERE, "qwen3-0.6b")}
    assert "oembed" not in html


def test_the_map_names_what_is_written():
    """Every page of the map is built."""
    assert set(paths()) <= {*build.targets()}


def test_a_whole_build(tmp_path):
    """Of few targets, in processes: pages, files beside them, the page for what is not there."""
    targets, build.targets = build.targets, lambda: iter(["/", "/robots.txt", "/no/such/"])
    try:
        built = build.build(str(tmp_path), HERE, None, processes=1, told=lambda _: None)
    finally:
        build.targets = targets
    assert (2, ("/no/such/: 404",)) == (built.pages, built.skipped)
    assert {"index.html", "robots.txt", "404.html", "_headers"} == {path.name for path in Path(tmp_path).rglob("*") if path.is_file()}
