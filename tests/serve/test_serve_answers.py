"""What a server sends: headers, versions, counts; and that whatever comes it does not break."""

import json
import re
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")

from hypothesis import given, settings
from hypothesis import strategies as st

from serving import QUIET, asking
from tonnage.keys import KEYS
from tonnage.pages import HERE, fragment
from tonnage.serve.asked import canonical, is_near, kind
from tonnage.serve.counts import Counts
from tonnage.serve.edition import edition
from tonnage.serve.settings import Settings, from_environment

ASKED = "/fragment?m=qwen3-0.6b&q=Q4_K_M&c=8192"
PAGES = ["/", "/fragment?m=qwen3-0.6b", "/m/", "/m/qwen3-0.6b/", "/m/qwen3-0.6b/Q4_K_M/", "/on/", "/on/rtx-4090/", "/accuracy/",
         "/how/llama.cpp/", "/tools/ram/", "/embed?m=qwen3-0.6b", "/badge.svg?m=qwen3-0.6b", "/api/v1/estimate?m=qwen3-0.6b", "/openapi.json",
         "/sitemap.xml", "/robots.txt",
         "/llms.txt", "/no/such/page", "/fragment?m=nothing", "/healthz", "/metrics"]  # fmt: skip


@pytest.fixture(scope="module")
def asker():
    """An application without limits of rate, and without a network."""
    with asking() as found:
        yield found


# --- headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", PAGES)
def test_every_answer_tells_a_browser_what_it_may_do(asker, target):
    """Nothing from other hosts, no frames but of the card to embed, no guessing of types."""
    got = asker.get(target)
    policy = got.headers["content-security-policy"]
    framed = target.startswith("/embed")
    assert ("nosniff", "no-referrer", "same-origin") == tuple(
        got.headers[name] for name in ("x-content-type-options", "referrer-policy", "cross-origin-opener-policy")
    )
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy.replace("'wasm-unsafe-eval'", "")
    assert ("frame-ancestors *" if framed else "frame-ancestors 'none'") in policy
    assert framed == ("x-frame-options" not in got.headers)


@pytest.mark.parametrize("target", [page for page in PAGES if "healthz" not in page and "metrics" not in page])
def test_every_inline_script_and_style_is_allowed_by_its_hash(asker, target):
    """So no other can run, and none of our own is refused."""
    from base64 import b64encode
    from hashlib import sha256

    got = asker.get(target)
    for tag in ("script", "style"):
        for words in re.findall(rf"<{tag}>(.*?)</{tag}>", got.text if "html" in got.headers["content-type"] else "", re.S):
            assert f"'sha256-{b64encode(sha256(words.encode()).digest()).decode()}'" in got.headers["content-security-policy"]


def test_only_what_is_meant_for_other_pages_is_open_to_them(asker):
    """The API, the badge and the fragment may be read from anywhere; pages may not."""
    opened = {kind(target.partition("?")[0]) for target in PAGES if "access-control-allow-origin" in asker.get(target).headers}
    assert {"api", "openapi.json", "badge.svg", "fragment"} == opened


def test_the_body_is_that_of_the_pure_function(asker):
    """The server adds nothing to it."""
    assert fragment(ASKED.partition("?")[2], HERE) == asker.get(ASKED).text


def test_it_is_packed_where_that_is_understood(asker):
    """By gzip, and a cache is told that there are two forms."""
    plain, packed = asker.get(ASKED), asker.get(ASKED, {"accept-encoding": "gzip, deflate, br"})
    assert (None, "gzip", "accept-encoding") == (plain.headers.get("content-encoding"), packed.headers["content-encoding"], packed.headers["vary"])
    assert (plain.text, True) == (packed.text, len(packed.body) < len(plain.body) / 3)


# --- versions ---------------------------------------------------------------------------------------


def test_what_a_client_has_is_not_sent_again(asker):
    """304 with the same ETag, whichever way the question is written."""
    first = asker.get(ASKED)
    for target in (ASKED, "/fragment?c=8K&quant=Q4_K_M&model=qwen3-0.6b"):
        again = asker.get(target, {"if-none-match": f'"other", {first.headers["etag"]}'})
        assert (304, b"", first.headers["etag"], first.headers["cache-control"]) == (
            again.status, again.body, again.headers["etag"], again.headers["cache-control"],
        )  # fmt: skip


def test_another_question_has_another_version(asker):
    """So none stands for the other in a cache."""
    targets = [*(f"/fragment?m=qwen3-0.6b&c={c}" for c in (4096, 8192, 16384)), "/?m=qwen3-0.6b&c=4096"]
    assert 4 == len({asker.get(target).headers["etag"] for target in targets})


def test_another_edition_has_another_version(asker, monkeypatch):
    """New code or data, new answers."""
    from tonnage.serve import answers

    before = asker.get(ASKED).headers["etag"]
    monkeypatch.setattr(answers, "edition", lambda: "another")
    with asking() as other:
        assert before != other.get(ASKED).headers["etag"]


def test_an_edition_is_a_hash():
    """Of all that the package holds."""
    assert re.fullmatch("[0-9a-f]{16}", edition())


@pytest.mark.parametrize(("target", "words"), [(ASKED, "stale-while-revalidate"), ("/fragment?m=nothing", "max-age=60"), ("/healthz", "no-store")])
def test_how_long_an_answer_may_be_kept(asker, target, words):
    """Long where this edition will say the same, briefly for an error, not at all for the state of the server."""
    assert words in asker.get(target).headers["cache-control"]


def test_memory_has_a_limit():
    """The answers that were asked for longest ago are dropped."""
    with asking(QUIET._replace(kept_bytes=100_000)) as asker:
        for context in range(4096, 4096 + 64 * 12, 64):
            asker.get(f"/fragment?m=qwen3-0.6b&c={context}")
        kept = re.search(r"tonnage_kept_bytes ([0-9]+)", asker.get("/metrics").text)
        assert kept
        assert 30_000 < int(kept[1]) <= 100_000


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/fragment", "c=8K&m=qwen3-0.6b", "m=qwen3-0.6b&c=8K"),
        ("/", "", ""),
        ("/", "m=qwen3-0.6b&q=&d=", "m=qwen3-0.6b"),
        ("/m/qwen3-0.6b/", "utm_source=x", ""),
        ("/sitemap.xml", "1", ""),
        ("/fragment", "c=oops", "c=oops"),
        ("/api/v1/max-context", "d=24GB&model=qwen3-0.6b", "m=qwen3-0.6b&d=24GB"),
        ("/tools/ram/", "kit=DDR5-6000", "kit=DDR5-6000"),
        ("/og/answer.png", "c=8K&m=qwen3-0.6b", "m=qwen3-0.6b&c=8K"),
        ("/og/m/qwen3-0.6b/Q4_K_M.png", "x=1", ""),
        ("/data/", "x=1", ""),
        ("/data/devices.csv", "x=1", ""),
    ],
)
def test_questions_in_one_form(path, query, expected):
    """The same question is kept once, and what a page does not heed makes no new one."""
    assert expected == canonical(path, query)


@pytest.mark.parametrize(
    ("path", "query", "near"),
    [
        ("/fragment", "m=qwen3-0.6b&d=RTX 4090", True),
        ("/fragment", "m=Qwen/Qwen3-0.6B", True),
        ("/fragment", "m=org/repo", False),
        ("/fragment", "m=ollama:qwen3", False),
        ("/m/org%2Frepo/Q4_K_M/", "", False),
        ("/m/org%252Frepo/Q4_K_M/", "", False),
        ("/compare", "a=m%3Dqwen3-0.6b&b=m%3Dqwen3-32b", True),
        ("/compare", "a=m%3Dorg%2Frepo&b=m%3Dqwen3-32b", False),
        ("/og/answer.png", "m=org/repo", False),
        ("/oembed", "url=https%3A%2F%2Ftonnage.example%2F%3Fm%3Dqwen3-0.6b%26d%3DRTX%2B4090", True),
        ("/oembed", "url=https%3A%2F%2Ftonnage.example%2Fm%2Fqwen3-0.6b%2FQ4_K_M%2F", True),
        ("/oembed", "url=https%3A%2F%2Ftonnage.example%2F%3Fm%3Dorg%252Frepo", False),
    ],
)
def test_what_the_package_answers_alone(path, query, near):
    """Such answers last as long as the edition; others are asked for anew."""
    assert near == is_near(path, query)


# --- counts -----------------------------------------------------------------------------------------


def test_requests_are_counted():
    """By kind of path and status, with their times."""
    with asking() as asker:
        for target in (ASKED, ASKED, "/fragment?m=nothing", "/x" * 1000):
            asker.get(target)
        told = asker.get("/metrics").text
    assert 'tonnage_requests_total{kind="fragment",status="200"} 2' in told
    assert 'tonnage_requests_total{kind="fragment",status="404"} 1' in told
    assert 'tonnage_request_seconds_count{kind="fragment"} 3' in told
    assert 'tonnage_answers_total{how="kept"} 1' in told
    assert f'edition="{edition()}"' in told


def test_paths_of_strangers_make_no_new_counts():
    """However many paths are tried, there are as many kinds as before."""
    assert {"other", "home", "m"} == {kind(path) for path in ("/", "/wp-login.php", "/.env", "/m/x/", "//", '/a"b')} | {"home"}


def test_the_text_is_what_prometheus_reads():
    """Help and type before the samples of each family, every sample a name, labels and a number."""
    with asking() as asker:
        asker.get(ASKED)
        lines = asker.get("/metrics").text.splitlines()
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\})? [0-9.e+-]+')
    assert [] == [line for line in lines if not line.startswith("# ") and not sample.fullmatch(line)]
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert sorted(set(families)) == sorted(families)


def test_workers_count_together(tmp_path):
    """Whichever worker is asked tells of all, also of one that has ended."""
    one, other = Counts(str(tmp_path), "1"), Counts(str(tmp_path), "2")
    one.add("tonnage_requests_total", 3, kind="m", status="200")
    other.add("tonnage_requests_total", 4, kind="m", status="200")
    other.save()
    assert 'tonnage_requests_total{kind="m",status="200"} 7' in one.text()


def test_settings_reach_the_workers():
    """As they were."""
    told = Settings(origin="https://x.test", rate=3, counts="/tmp/x")
    assert told == from_environment({"TONNAGE_SERVE": told.to_environment()})


# --- whatever comes ---------------------------------------------------------------------------------

_NAMES = st.one_of(st.sampled_from([*KEYS, "m", "q", "c", "d", "a", "b", "format", "kit", "size", "over", "watts"]), st.text(max_size=8))
_VALUES = st.one_of(
    st.sampled_from(["qwen3-0.6b", "Q4_K_M", "24GB", "RTX 4090", "params=7B", "-1", "1e999", "nan", "99999999999999999999K"]),
    st.sampled_from(["\0", "this", "-", "--", "💥", "a=b;c", "%", "0", "(.*)*x=CPU", "m%3Dqwen3-0.6b"]),
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
)
_PATHS = st.sampled_from(
    ["/fragment", "/", "/api/v1/estimate", "/api/v1/max-context", "/api/v1/transfer", "/api/v1/ram", "/api/v1/power", "/tools/ram/", "/compare",
     "/embed", "/badge.svg", "/og/x.png", "/m/qwen3-0.6b/Q4_K_M/"]
)  # fmt: skip
QUERIES = st.one_of(
    st.lists(st.tuples(_NAMES, _VALUES), max_size=5).map(lambda fields: "&".join(f"{quote(n)}={quote(v)}" for n, v in fields).encode()),
    st.lists(st.tuples(_NAMES, _VALUES), min_size=1, max_size=3).map(
        lambda fields: b"m=qwen3-0.6b&" + "&".join(f"{quote(n)}={quote(v)}" for n, v in fields).encode()
    ),
    st.binary(max_size=60),
)


def _never_breaks(asker, path, query):
    got = asker.get(path.encode() + b"?" + query)
    assert got.status < 500
    assert "Traceback" not in got.text
    if path.startswith("/api/"):
        json.loads(got.text)


@settings(max_examples=300, deadline=None)
@given(path=_PATHS, query=QUERIES)
def test_no_query_breaks_the_server(asker, path, query):
    """What cannot be understood is the client's error."""
    _never_breaks(asker, path, query)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(path=_PATHS, query=QUERIES)
def test_ten_thousand_queries_do_not_break_the_server(asker, path, query):
    """The same, at length."""
    _never_breaks(asker, path, query)


@settings(max_examples=200, deadline=None)
@given(path=st.one_of(st.binary(max_size=40), st.text(max_size=20).map(lambda text: quote(text).encode())))
def test_no_path_breaks_the_server(asker, path):
    """Neither bytes that are no text nor names that are none."""
    assert asker.get(b"/" + path.replace(b"?", b"")).status < 500
