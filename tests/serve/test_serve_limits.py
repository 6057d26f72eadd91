"""What a stranger may ask of a server, and what they are told when it is too much."""

import asyncio
import re
import time

import pytest

pytest.importorskip("fastapi")

from serving import QUIET, Asker, asking
from tonnage.errors import SourceError
from tonnage.remote import opening
from tonnage.serve import answers
from tonnage.serve.rate import Buckets, client_of

ASKED = "/fragment?m=qwen3-0.6b&q=Q4_K_M&c=8192"


@pytest.fixture(scope="module")
def asker():
    """An application without limits of rate, and without a network."""
    with asking() as found:
        yield found


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_only_reading_is_answered(asker, method):
    """There is nothing to write."""
    got = asker.get("/", method=method)
    assert (405, "GET, HEAD, OPTIONS") == (got.status, got.headers["allow"])


def test_pages_of_others_may_ask(asker):
    """The API answers the question that a browser asks before it lets another page ask."""
    got = asker.get("/api/v1/estimate", method="OPTIONS")
    assert (204, "*") == (got.status, got.headers["access-control-allow-origin"])


def test_head_is_get_without_a_body(asker):
    """The same head, and no more."""
    whole, head = asker.get(ASKED), asker.get(ASKED, method="HEAD")
    assert (whole.headers, b"") == (head.headers, head.body)


@pytest.mark.parametrize(("length", "status"), [(QUIET.url_bytes, 404), (QUIET.url_bytes + 1, 414)])
def test_an_address_has_a_limit(asker, length, status):
    """Path and query together."""
    start = "/fragment?m="
    assert (status == 414) == (414 == asker.get(start + "y" * (length - len(start))).status)


def test_an_address_over_the_limit_is_not_looked_at(asker):
    """A long path is refused like a long query."""
    assert 414 == asker.get("/" + "m" * QUIET.url_bytes).status


@pytest.mark.parametrize("header", ["content-length: 1025", "content-length: -1", "content-length: many", "transfer-encoding: chunked"])
def test_a_question_has_no_body(asker, header):
    """What comes with one is not read."""
    assert 413 == asker.get(ASKED, dict([header.split(": ")])).status


def test_a_client_that_asks_too_often_is_told_when():
    """Others are answered, and the health of the server may be asked for at any time."""
    with asking(QUIET._replace(rate=0.5, burst=3)) as asker:
        assert [200, 200, 200, 429] == [asker.get("/robots.txt").status for _ in range(4)]
        assert "2" == asker.get("/robots.txt").headers["retry-after"]
        assert [200, 200] == [asker.get("/healthz").status, asker.get("/robots.txt", client="203.0.113.8").status]


def test_an_error_of_a_program_is_json():
    """What asks the API is answered as the API answers."""
    with asking(QUIET._replace(rate=0.1, burst=0)) as asker:
        got = asker.get("/api/v1/estimate?m=qwen3-0.6b")
        assert (429, "application/json") == (got.status, got.headers["content-type"])
        assert '"kind": "refused"' in got.text


def test_a_bucket_fills_again():
    """At the rate, up to the burst."""
    buckets = Buckets(rate=2, burst=2)
    assert [0, 0, 0.5] == [buckets.wait("a", 0) for _ in range(3)]
    assert [0, 0.5] == [buckets.wait("a", 0.5) for _ in range(2)]
    assert [0, 0, 0.5] == [buckets.wait("a", 100) for _ in range(3)]


def test_only_the_last_clients_are_remembered():
    """However many there are, memory stays as it is."""
    buckets = Buckets(rate=1, burst=1, most=10)
    for i in range(1000):
        buckets.wait(str(i), 0)
    assert 10 == len(buckets._held)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
    ],
)
def test_who_is_one_client(one, other, same):
    """A household has a whole network of IPv6 addresses."""
    assert same == (client_of(one) == client_of(other))


# --- time -------------------------------------------------------------------------------------------


def _slow(monkeypatch, seconds):
    real = answers.reply

    def reply(*args):
        time.sleep(seconds)
        return real(*args)

    monkeypatch.setattr(answers, "reply", reply)


def test_an_answer_that_takes_too_long(monkeypatch):
    """The client is sent away; the answer is kept for when it comes back."""
    _slow(monkeypatch, 0.3)
    with asking(QUIET._replace(seconds=0.05)) as asker:
        got = asker.get(ASKED)
        assert (503, "5", "no-store") == (got.status, got.headers["retry-after"], got.headers["cache-control"])
        asker.loop.run_until_complete(asyncio.sleep(0.6))
        assert 200 == asker.get(ASKED).status
        assert 'tonnage_refused_total{limit="slow"} 1' in asker.get("/metrics").text


def test_a_line_that_is_too_long(monkeypatch):
    """What cannot be answered soon is refused at once."""
    _slow(monkeypatch, 0.1)

    async def many(asker: Asker) -> list[int]:
        asked = [asker.ask(f"{ASKED}&slots={slots}", {}, "GET", "203.0.113.7") for slots in (1, 2, 3, 4)]
        return [got.status for got in await asyncio.gather(*asked)]

    with asking(QUIET._replace(waiting=3)) as asker:
        assert [200, 200, 200, 503] == sorted(asker.loop.run_until_complete(many(asker)))


def test_the_same_question_at_once_is_answered_once(monkeypatch):
    """Who comes second waits for the first one's answer, also where it is written otherwise."""
    _slow(monkeypatch, 0.1)

    async def twice(asker: Asker) -> list[str]:
        asked = [asker.ask(target, {}, "GET", "203.0.113.7") for target in (ASKED, "/fragment?c=8K&quant=Q4_K_M&model=qwen3-0.6b")]
        return [got.headers["etag"] for got in await asyncio.gather(*asked)]

    with asking() as asker:
        first, second = asker.loop.run_until_complete(twice(asker))
        assert first == second
        assert ['tonnage_answers_total{how="made"} 1', 'tonnage_answers_total{how="shared"} 1'] == sorted(
            re.findall(r"tonnage_answers_total.*", asker.get("/metrics").text)[-2:]
        )


def test_what_breaks_is_not_shown(monkeypatch, caplog):
    """The client is told a number; the traceback under that number is written down."""
    monkeypatch.setattr(answers, "reply", lambda *_: 1 / 0)
    with asking() as asker:
        got = asker.get(ASKED)
    number = re.search(r"written down as ([0-9a-f]{12})", got.text)
    assert number
    assert (500, False, True) == (got.status, "Traceback" in got.text or "ZeroDivision" in got.text, f"request {number[1]} failed" in caplog.text)


TAME = [
    r"blk\.(1[0-9]|2[0-3])\.ffn_.*_exps=CPU", r"\.ffn_(up|down|gate)?_exps=CPU,blk\.7\.=CUDA0", "Ryzen AI Max+ 395 128GB",
    "(", r"(a|b)?c*=CPU", "*" * 40,
]  # fmt: skip
WILD = ["(a+)+b=CPU", "(a|a)*b=CPU", ".*.*.*.*x=CPU", "((a?){9})*b=CPU", "x=CPU,(.*)*y=CPU", r"(?=(a+)+)b=CPU", ".=CPU," * 300]


@pytest.mark.parametrize(("pattern", "tame"), [*((pattern, True) for pattern in TAME), *((pattern, False) for pattern in WILD)])
def test_patterns_that_could_hold_a_worker(asker, pattern, tame):
    """Repeats of repeats are refused before they are matched; what people write for their experts is not."""
    from urllib.parse import quote

    got = asker.get(f"/api/v1/estimate?m=qwen3-0.6b&d=24GB&ot={quote(pattern)}")
    assert tame != ("very long to match" in got.text)
    assert got.status < 500


# --- what may be read -------------------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "[::1]", "[fd00::1]", "localhost", "metadata.google.internal", "2130706433", "0x7f.1",
]  # fmt: skip


@pytest.fixture
def quiet_network(monkeypatch):
    """A network in which no look-up may be made."""

    def never(*_):
        raise AssertionError("a server was asked")

    monkeypatch.setattr(opening.Session, "__init__", never)


@pytest.mark.parametrize("host", [*PRIVATE, "example.com", "evil.test@127.0.0.1", "huggingface.co.evil.test"])
@pytest.mark.parametrize("form", ["http://{}/x.gguf", "https://{}:8443/latest/meta-data/x.gguf", "ollama:{}/library/x:latest"])
def test_other_hosts_are_not_asked(quiet_network, host, form):
    """Neither private ones nor strangers', by whatever name; no connection is begun."""
    from urllib.parse import quote

    with asking(QUIET._replace(hub=True)) as asker:
        got = asker.get(f"/fragment?m={quote(form.format(host), safe='')}")
    assert got.status in (400, 404)


@pytest.mark.parametrize("key", ["mmproj", "lora", "draft"])
def test_what_is_attached_is_not_asked_of_other_hosts(quiet_network, key):
    """Projectors, adapters and drafts are models of their own."""
    with asking(QUIET._replace(hub=True)) as asker:
        assert asker.get(f"/api/v1/estimate?m=qwen3-0.6b&{key}=http://169.254.169.254/x.gguf").status in (400, 404)


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "./x.gguf", "~/x.gguf", "file:///etc/passwd", "{}", "{}:Q4_K_M"])
@pytest.mark.parametrize("key", ["m", "mmproj", "lora", "draft", "device_file"])
def test_files_of_the_server_are_not_opened(monkeypatch, tmp_path, name, key):
    """What lies there is told no more than what does not."""
    monkeypatch.setattr("builtins.open", _guarded(tmp_path))
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    model = "" if key == "m" else "m=qwen3-0.6b&"
    with asking() as asker:
        got = asker.get(f"/fragment?{model}d=24GB&{key}={name.format(tmp_path / 'x.gguf')}")
        assert got.status in (400, 404)
        assert "GGUF" not in got.text


def _guarded(folder):
    real = open

    def guarded(path, *args, **kwargs):
        assert "passwd" not in str(path), path
        assert not (str(path).startswith(str(folder)) and args[:1] == ("rb",)), path
        return real(path, *args, **kwargs)

    return guarded


def test_this_machine_is_not_asked():
    """`device=this` speaks of the machine of whoever asks, and a server is not it."""
    with asking() as asker:
        got = asker.get("/api/v1/estimate?m=qwen3-0.6b&d=this")
    assert (400, True) == (got.status, "this machine is not asked here" in got.text)


def test_hub_lookups_can_be_switched_off():
    """Then the built-in models are all that there is."""
    with asking() as asker:
        got = asker.get("/api/v1/estimate?m=org/some-repo")
    assert (404, True) == (got.status, "the network must not be used here" in got.text)


def test_the_hosts_that_may_be_named():
    """A look-up of an allowed host is begun; what its name leads to is checked when it is dialled."""
    from tonnage.remote import names

    place = names.parse("https://github.com/x/y.gguf")
    assert place
    with pytest.raises(SourceError, match="github"):
        opening._check_host(place, opening.Access(hosts=("huggingface.co",)))
    opening._check_host(place, opening.Access(hosts=("github.com",)))
