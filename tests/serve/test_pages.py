"""The pages as functions: what stands on them, what they weigh, and how they refuse."""

import gzip
import random
import re
import string
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

pytest.importorskip("jinja2")

import tonnage
from tonnage import data
from tonnage.errors import TonnageError
from tonnage.keys import KEYS
from tonnage.pages import NotFoundError, Site, fragment, page, reply
from tonnage.pages.feeds import paths
from tonnage.pages.templates import early, policy, script, style
from tonnage.pages.texts import ACCURACY
from tonnage.question import from_query
from tonnage.render import numbers, prose

FLAGSHIP = "/m/qwen3.5-122b-a10b/Q4_K_M/"
NATIVE = "c=262144"
KINDS = (
    "/", "/m/", "/m/llama-3.1-8b-instruct/", FLAGSHIP, "/on/", "/on/rtx-4090/", "/compare", "/accuracy/", "/accuracy/engines/", "/accuracy/speed/",
    "/how/llama.cpp/", "/tools/", "/tools/ram/",
    "/tools/power/", "/tools/transfer/", "/tools/reads/", "/how/vllm/", "/data/", "/nowhere",
)  # fmt: skip
QUESTIONS = (
    "m=llama-3.1-8b-instruct&q=Q4_K_M",
    "m=qwen3.6-27b&q=Q6_K&c=65536&d=RTX 4090",
    "m=gemma-3-27b-it&q=Q4_K_M&c=8192&d=2x RTX 3090",
    "m=gpt-oss-20b&d=Apple M4 Max 128GB",
    "m=qwen3-30b-a3b&q=Q4_K_M&d=16GB&ram=64GB",
    "m=llama-3.2-3b-instruct&backend=cpu&ram=16GB",
    "m=deepseek-v3.1&q=Q2_K&d=8x H100 SXM 80GB",
)


class _Tags(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += f"{data} "

    def all(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of every tag of a name."""
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def flagship() -> str:
    """The page to beat."""
    return page(FLAGSHIP, NATIVE)


@pytest.mark.parametrize(
    "heading",
    ["Hardware that fits", "Just barely too small", "Other quants at this context", "Launch command", "How this is calculated", "What is not counted",
     "Verdict", "Receipts", "Questions", "More scenarios", "Tools", "Memory against context"],
)  # fmt: skip
def test_the_scenario_page_has_every_part(flagship: str, heading: str) -> None:
    """Each part that a reader looks for has a heading of its own."""
    assert re.search(rf"<h2[^>]*>{heading}</h2>|<h3>{heading}</h3>", flagship)


@pytest.mark.parametrize(
    "question",
    ["How does Qwen3.5-122B-A10B compare to Llama-4-Scout-17B-16E-Instruct?", "What about Qwen3.5-27B (dense) instead?",
     "Does Qwen3.5-122B-A10B use Gated Delta Networks?", "What if the experts stay in RAM?"],
)  # fmt: skip
def test_questions_of_readers_are_answered(flagship: str, question: str) -> None:
    """The questions stand there, each with an answer that has a figure."""
    found = re.search(rf"<h3>{re.escape(question)}</h3>\s*<p>([^<]+)</p>", flagship)

    assert found
    assert re.search(r"\d\.\d\d GiB|\d+ of its", found[1])


def test_the_first_sentence_is_the_answer(flagship: str) -> None:
    """Headline, then the number in both units, its error, engine and context."""
    answer = tonnage.estimate("qwen3.5-122b-a10b", quant="Q4_K_M", context="256K")
    words = " ".join(_Tags(flagship).words.split())

    assert "How much memory does Qwen3.5-122B-A10B need at Q4_K_M?" in words
    assert f"{numbers.gib(answer.gpu_bytes)} GiB ({numbers.gb(answer.gpu_bytes)} GB) on the GPU, exact to the byte" in words


@pytest.mark.parametrize("query", QUESTIONS)
def test_every_part_on_the_page_is_the_estimates(query: str) -> None:
    """The fragment shows each part of the answer in GiB and GB, and its command."""
    found = _Tags(fragment(query))
    question = from_query(query)
    answer = tonnage.estimate(question)
    rows = " ".join(found.words.split())

    for part in (part for device in answer.devices for part in device.parts):
        assert f"{numbers.part_name(part.part)} {numbers.gib(part.bytes)} {numbers.gb(part.bytes)} {part.basis} {numbers.error(part)}" in rows
    assert all(command in found.words for command in answer.command.values())
    assert not answer.verdict or prose.WORDS[answer.verdict.word] in rows


@pytest.mark.parametrize("path", KINDS)
def test_pages_are_light(path: str) -> None:
    """The first HTML has at most 15 KB, compressed, with its style, its charts and its script of at most 2 KB."""
    assert len(gzip.compress(reply(path).body.encode())) <= 15 * 1024
    assert len(early().encode()) + len(script().encode()) <= 2048


@pytest.mark.parametrize("path", KINDS)
def test_pages_ask_nobody_else(path: str) -> None:
    """No font, cookie, script, image or frame of another host; scripts and styles stand in the page, allowed by their hashes."""
    body = reply(path).body
    found = _Tags(body)
    loaded = [attrs for tag, attrs in found.tags if tag in ("script", "img", "iframe", "link")]

    assert [] == [attrs for attrs in loaded if (attrs.get("src") or attrs.get("href") or "").startswith(("http", "//"))]
    assert [] == [attrs for _, attrs in found.tags if "style" in attrs or any(name.startswith("on") for name in attrs)]
    assert style() in body
    assert "unsafe" not in policy()


@pytest.mark.parametrize("path", KINDS)
def test_pages_have_one_headline_and_named_parts(path: str) -> None:
    """One h1, a language, names for charts and fields, and no id twice."""
    found = _Tags(reply(path).body)
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]

    assert 1 == len(found.all("h1"))
    assert [{"lang": "en"}] == found.all("html")
    assert [] == [attrs for attrs in found.all("svg") if attrs.get("role") == "img" and not attrs.get("aria-labelledby")]
    assert sorted(set(ids)) == sorted(ids)


def test_the_form_works_without_a_script() -> None:
    """Its fields make the query that the page answers, by GET."""
    found = _Tags(page("/", "m=qwen3.6-27b&q=Q6_K&c=65536&d=RTX 4090"))
    form = next(attrs for attrs in found.all("form") if attrs.get("name") == "ask")
    held = {attrs["name"]: attrs.get("value") for attrs in found.all("input") if "name" in attrs}

    assert ("get", "/") == (form["method"], form["action"])
    assert ("qwen3.6-27b", "64K", "RTX 4090") == (held["m"], held["c"], held["d"])
    assert {"selected": None} in [attrs for attrs in found.all("option") if "selected" in attrs]


def test_a_key_without_a_field_travels_hidden() -> None:
    """What the form does not show is not lost."""
    found = _Tags(page("/", "m=llama-3.1-8b-instruct&ubatch=256"))

    assert [{"type": "hidden", "name": "ubatch", "value": "256"}] == [attrs for attrs in found.all("input") if attrs.get("type") == "hidden"]


@pytest.mark.parametrize(
    ("path", "query", "canonical"),
    [
        (FLAGSHIP, "c=8192&d=24GB", FLAGSHIP),
        ("/", "m=Qwen/Qwen3.5-122B-A10B&q=Q4_K_M&c=8192", FLAGSHIP),
        ("/", "", "/"),
        ("/m/llama-3.1-8b/", "", "/m/llama-3.1-8b-instruct/"),
        ("/on/RTX 4090/", "", "/on/rtx-4090/"),
    ],
)
def test_questions_point_to_their_page(path: str, query: str, canonical: str) -> None:
    """The canonical link is the path page of the question, whatever else it says."""
    found = _Tags(page(path, query, Site(origin="https://tonnage.example")))

    assert [f"https://tonnage.example{canonical}"] == [attrs["href"] for attrs in found.all("link") if attrs.get("rel") == "canonical"]


def test_links_keep_the_base_of_the_site() -> None:
    """A site below a folder links to nothing above it."""
    found = _Tags(page(FLAGSHIP, "", Site(base="/tonnage")))
    links = [attrs["href"] or "" for attrs in found.all("a")]

    assert [] == [link for link in links if not link.startswith("/tonnage/")]


def test_every_path_of_the_map_is_a_page() -> None:
    """A sample of the map answers."""
    every = list(paths())
    sample = random.Random(7).sample(every, 12)

    assert [] == [path for path in sample if reply(path).status != 200]
    assert len(every) == len(set(every))


@pytest.mark.parametrize(
    ("path", "query", "status", "near"),
    [
        ("/", "m=qwen3.5-122b-a10", 404, "qwen3.5-122b-a10b"),
        ("/fragment", "m=qwen3.5-122b-a10b&q=Q4_K_N", 422, "Q4_K_M"),
        ("/", "m=llama-3.1-8b&contxt=3", 400, "context"),
        ("/", "m=llama-3.1-8b&d=RTX 409", 400, "RTX 4090"),
        ("/on/rtx-409/", "", 404, "RTX 4090"),
        ("/tools/rom/", "", 404, "ram"),
    ],
)
def test_a_bad_question_names_what_is_near(path: str, query: str, status: int, near: str) -> None:
    """A page of its own with the status of the fault and the nearest names."""
    found = reply(path, query)

    assert status == found.status
    assert near in _Tags(found.body).words


def test_what_is_asked_is_escaped() -> None:
    """Markup in a question comes back as text."""
    found = reply("/", "m=<script>alert(1)</script>&q='\"><svg onload=x>")

    assert "<script>alert" not in found.body
    assert "<svg onload" not in found.body


ELSEWHERE = ("m=/etc/hostname", "m=http://127.0.0.1:1/x.gguf", "m=ollama:x", "m=llama-3.1-8b&d=this", "m=org/repo", "m=x&device_file=/etc/passwd")


@pytest.mark.parametrize("asked", ELSEWHERE)
def test_pages_read_the_built_in_models_alone(asked: str) -> None:
    """Unless a site is given access, no file, host or machine is asked."""
    with pytest.raises(TonnageError):
        fragment(asked)


def test_no_path_is_guessed() -> None:
    """A path that is none is refused."""
    with pytest.raises(NotFoundError):
        page("/nowhere/")


def test_malformed_queries_are_refused_and_never_a_fault() -> None:
    """Random fields, values and bytes are answered below 500, on every kind of path."""
    dice = random.Random(20)
    values = ["", "-1", "1e99", "nan", "99999999999999", "auto", "é", "\x00", "'\"<x>", "2x RTX 3090", "24GB", "Q4_K_M", "true", "3,1", "mtp", "cpu"]
    names = [*KEYS, *(key.short for key in KEYS.values() if key.short), "a", "url", "maxwidth", "size", "kit", "watts", "zzz"]
    verbs = ("estimate", "plan", "max-context", "best-quant", "speed", "cost", "ram", "power", "transfer", "devices", "x")
    pages = (
        "/", "/fragment", "/embed", "/badge.svg", "/og/answer.png", "/oembed", "/compare", "/tools/ram/", "/tools/power/", "/tools/transfer/",
        "/tools/reads/", "/on/x%00/",
    )  # fmt: skip
    asked = [*pages, *(f"/api/v1/{verb}" for verb in verbs)]
    for _ in range(400):
        fields = [("m", dice.choice(["llama-3.2-1b-instruct", "qwen3-0.6b", "nope", ""]))] if dice.random() < 0.8 else []
        fields += [(dice.choice(names), dice.choice(values)) for _ in range(dice.randint(0, 4))]
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in fields)
        if dice.random() < 0.1:
            query = "".join(dice.choice(string.printable) for _ in range(40))

        assert reply(dice.choice(asked), query).status < 500, query


@pytest.mark.parametrize("engine", ["vllm", "sglang", "transformers", "mlx", "exllamav3"])
@pytest.mark.parametrize("query", ["m=qwen3-0.6b&e={}", "m=qwen3-32b&e={}&d=H200", "m=qwen3-32b&e={}&d=Apple%20M5%20Max%20128GB%20(40-core%20GPU)"])
def test_pages_speak_of_every_engine(engine: str, query: str) -> None:
    """Devices that an engine does not run on are left out of the tables; asked about, they are refused in a sentence."""
    told = reply("/fragment", query.format(engine))

    assert told.status in (200, 400, 422)
    assert (200 == told.status) or "d=" in query


def test_each_section_of_the_accuracy_document_is_on_one_page():
    """None is lost and none is there twice."""
    sections = re.findall(r"^## (.+)$", data.read("texts/accuracy.md").decode(), re.MULTILINE)
    pages = [reply(f"/accuracy/{part}/".replace("//", "/")).body for part in ACCURACY]

    assert dict.fromkeys(sections, 1) == {section: sum(f"<h2>{section}</h2>" in page for page in pages) for section in sections}
