"""Cards for links: which page has which, that nothing runs over their edges, and that their text is there."""

import re
from urllib.parse import quote
from xml.etree import ElementTree

import pytest

pytest.importorskip("jinja2")

import png_reader
import tonnage
from tonnage import data
from tonnage.errors import UnsupportedError
from tonnage.model import catalogue
from tonnage.pages import Site, cards, page, reply
from tonnage.question import from_query
from tonnage.render import card, numbers, png, prose, svg

AT = Site(origin="https://tonnage.example", base="/x")
BARE = "params=7e9,layers=32,heads=32,kv_heads=8,head_dim=128"
QUESTIONS = (
    "m=qwen3.5-122b-a10b&q=Q4_K_M&c=32K&d=RTX 4090&ram=128GB",
    "m=llama-4-scout-17b-16e-instruct&d=2x RTX 3090",
    "m=llama-3.2-3b-instruct&backend=cpu&ram=16GB",
    "m=qwen3-32b&e=vllm&d=H200",
    f"m={BARE}&q=Q4_K_M",
)
DRAWN = ("/og/tonnage.png", "/og/m/qwen3-0.6b.png", "/og/m/qwen3-0.6b/Q4_K_M.png", "/og/on/rtx-4090.png", "/og/on/apple-m4-max-128gb-40-core-gpu.png")


def _head(path: str, query: str = "", site: Site = AT) -> dict[str, str]:
    found = re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)">', page(path, query, site))
    return {name: text.replace("&amp;", "&") for name, text in found}


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/", "", "/og/tonnage.png"),
        ("/tools/ram/", "", "/og/tonnage.png"),
        ("/m/qwen3-0.6b/", "", "/og/m/qwen3-0.6b.png"),
        ("/m/qwen3-0.6b/Q4_K_M/", "", "/og/m/qwen3-0.6b/Q4_K_M.png"),
        ("/", "m=Qwen/Qwen3-0.6B&q=Q4_K_M", "/og/m/qwen3-0.6b/Q4_K_M.png"),
        ("/m/qwen3-0.6b/Q4_K_M/", "d=RTX 4090&c=8192", "/og/answer.png?m=qwen3-0.6b&q=Q4_K_M&c=8K&d=RTX%204090"),
        ("/", f"m={BARE}", f"/og/answer.png?m={quote(BARE, safe=',')}"),
        ("/on/rtx-4090/", "", "/og/on/rtx-4090.png"),
    ],
)
def test_every_page_has_a_card(path: str, query: str, expected: str) -> None:
    """Its whole address and size stand in the head; the card is that of what the page is asked."""
    head = _head(path, query)

    assert f"https://tonnage.example/x{expected}" == head["og:image"]
    assert ("1200", "630", "summary_large_image") == (head["og:image:width"], head["og:image:height"], head["twitter:card"])


@pytest.mark.parametrize("path", ["/m/qwen3-0.6b/", "/m/qwen3-0.6b/Q4_K_M/", "/on/rtx-4090/"])
def test_a_shared_link_says_what_the_page_says(path: str) -> None:
    """Title and words for those who link are the page's own; its address is whole."""
    head = _head(path)

    assert f"<title>{head['og:title']} · Tonnage</title>" in page(path, "", AT)
    assert (head["description"], f"https://tonnage.example/x{path}") == (head["og:description"], head["og:url"])


def test_a_shared_question_keeps_its_values() -> None:
    """The canonical page stands for it among search results; who shares it shares all that was asked."""
    html = page("/m/qwen3-0.6b/Q4_K_M/", "d=RTX 4090", AT)

    assert "https://tonnage.example/x/?m=qwen3-0.6b&q=Q4_K_M&d=RTX%204090" == _head("/m/qwen3-0.6b/Q4_K_M/", "d=RTX 4090")["og:url"]
    assert '<link rel="canonical" href="https://tonnage.example/x/m/qwen3-0.6b/Q4_K_M/">' in html


def test_a_page_that_is_none_has_no_card() -> None:
    """An error is not shared."""
    assert "og:image" not in reply("/nowhere").body


@pytest.mark.parametrize("query", QUESTIONS)
def test_a_card_says_what_the_estimate_says(query: str) -> None:
    """The question, its figure in both units and each part of the first device."""
    found = tonnage.estimate(from_query(query))
    texts = [node.text or "" for node in ElementTree.fromstring(card.render(cards.told(found))).iter("{http://www.w3.org/2000/svg}text")]
    nbytes = prose.start_bytes(found, "gpu") or prose.start_bytes(found, "host")

    assert prose.title(found).partition(" need")[0] in " ".join(texts)
    assert {f"{numbers.gib(nbytes)} GiB", f"{numbers.gb(nbytes)} GB"} <= {*texts}
    device = next(device for device in found.devices if device.parts)
    shown = [f"{numbers.part_name(part.part)} {numbers.gib(part.bytes)}" for part in device.parts if part.held != "reserved"]
    assert {*shown[:3]} <= {*texts}


def test_every_title_fits_on_two_lines() -> None:
    """No model of the catalogue has a name too long for its card, at the longest name of a recipe."""
    long = []
    for entry in catalogue.index():
        title = f"How much memory does {entry['hf_id'].rpartition('/')[2]} need at IQ2_XXS?"
        size, lines = card._title(title)
        if title.split() != " ".join(lines).split() or any(card.width(line, size) > card.INSIDE for line in lines):
            long.append(title)

    assert [] == long


def test_the_font_holds_what_is_drawn() -> None:
    """Widths are known of every sign that may be drawn, and of no other; any other sign becomes a question mark."""
    assert {*card.HELD} == {*data.load_json("font_widths.json")["widths"]}
    assert "Qwen3 ???" == card.held("Qwen3 通义🐫")


@pytest.mark.parametrize("word", ["x" * 400, "\x01\x02", "通义" * 90, "<&>\"'", "\U0001f42b", ""])
def test_no_words_break_a_card(word: str) -> None:
    """Whatever a title says, the card is XML, and its lines end within the edges."""
    drawn = card.render(card.Card(word, word, word, word, rows=[card.Row(word, 1, "1 GiB")], foot=word))
    texts = [node.text or "" for node in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]

    assert [] == [text for text in texts if card.width(text, 24) > card.INSIDE]


@pytest.mark.parametrize("query", QUESTIONS)
def test_no_colour_of_a_card_is_left_to_a_page(query: str) -> None:
    """Where no style sheet is read, a variable would be drawn black; the pattern of each hatch is there."""
    drawn = card.render(cards.told(tonnage.estimate(from_query(query))))

    assert "var(" not in drawn
    assert {*re.findall(r"url\(#([^)]+)\)", drawn)} <= {*re.findall(r'id="([^"]+)"', drawn)}


@pytest.mark.parametrize("query", QUESTIONS)
def test_charts_are_xml(query: str) -> None:
    """A chart can stand in a file of its own: what is nearly nothing, `<0.01`, is escaped."""
    found = tonnage.estimate(from_query(query))

    assert [] == [device for device in found.devices if device.parts and ElementTree.fromstring(svg.bar(device)) is None]


@pytest.mark.parametrize("path", ["/og/m/nothing.png", "/og/m/kolibri-1.png", "/og/on/rtx-409.png", "/og/x.png"])
def test_a_card_of_nothing_is_not_found(path: str) -> None:
    """404, and the nearest model where there is one."""
    assert 404 == reply(path).status


def test_where_nothing_is_drawn_no_page_names_a_card() -> None:
    """A link that is shared has its words all the same."""
    head = _head("/m/qwen3-0.6b/", "", AT._replace(cards=False))

    assert ("og:title" in head, "og:image" in head, "twitter:card" in head) == (True, False, False)


def test_without_resvg_a_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a sentence that says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "resvg_py", None)

    with pytest.raises(UnsupportedError, match=r"pip install 'tonnage\[serve\]'"):
        png.draw("<svg/>")


# --- drawn ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DRAWN)
def test_a_card_is_a_picture_of_its_size(path: str) -> None:
    """PNG, 1200 x 630, small enough for those who fetch it."""
    pytest.importorskip("resvg_py")
    found = reply(path)
    picture = png_reader.read(found.body)

    assert (200, "image/png", 1200, 630) == (found.status, found.type, picture.width, picture.height)
    assert len(found.body) < 120_000


def test_a_name_of_ones_own_cannot_break_the_drawing() -> None:
    """Markup in the name of a device that is told in full."""
    pytest.importorskip("resvg_py")

    assert 200 == reply("/og/answer.png", "m=qwen3-0.6b&d=name=a%3C%26b%3E,memory=24GB").status


@pytest.mark.slow
def test_text_is_drawn_and_ends_within_the_edges() -> None:
    """The longest title leaves ink among its own lines, and none beyond the margin: the font was found."""
    pytest.importorskip("resvg_py")
    name = max((entry["hf_id"].rpartition("/")[2] for entry in catalogue.index()), key=len)
    rows = [*png_reader.read(png.draw(card.render(card.Card(f"How much memory does {name} need at IQ2_XXS?")))).rows()]
    ground = rows[-1][:4]
    ink = [[row[4 * x : 4 * x + 4] != ground for x in range(1200)] for row in rows[20:260]]

    assert 3_000 < sum(map(sum, ink))
    assert 0 == sum(sum(row[:60]) + sum(row[1200 - card.EDGE + 2 :]) for row in ink)


@pytest.mark.slow
def test_hatches_are_drawn() -> None:
    """A bar of the pages stands on the card in its own colours, hatched."""
    pytest.importorskip("resvg_py")
    found = tonnage.estimate("llama-3.1-8b-instruct", quant="Q4_K_M", context="128K")
    rows = [*png_reader.read(png.draw(card.render(cards.told(found)))).rows()]
    kv = bytes.fromhex(svg.COLOURS["kv"][1][1:] + "ff")
    counts = [row.count(kv) for row in rows]

    assert 20 < max(counts)
    assert 1 < len({row[i : i + 4] for row in rows if row.count(kv) > 20 for i in range(4 * 900, 4 * 1000, 4)})
