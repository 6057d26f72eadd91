"""Every fault of a network, a server or a file ends in one clear line, in bounded time, and tells no secret."""

import socket
import threading
import time
from collections.abc import Callable

import pytest

from gguf_writer import real_header
from hub import Handler, Hub, Sparse
from remote import QUICK, gguf_file, long_gguf, safetensors_repo, split_gguf
from tonnage.errors import CorruptError, SourceError
from tonnage.model import gguf
from tonnage.remote import address, wire
from tonnage.remote.access import PUBLIC
from tonnage.source import load

TOKEN = "hf_secretSecretSecret"
FILE = "org/repo/x-Q4_K_M.gguf"


@pytest.fixture
def repo(served: Hub) -> Hub:
    """A hub with one file of one repo."""
    served.add("org/repo", {"x-Q4_K_M.gguf": gguf_file()})
    return served


def refused(name: str, access=QUICK, error: type[SourceError] = SourceError) -> str:
    """The one line in which the model is refused, within a few seconds."""
    start = time.monotonic()
    with pytest.raises(error) as caught:
        load(name, access)
    text = str(caught.value)
    assert "\n" not in text
    assert TOKEN not in text
    assert time.monotonic() - start < 6
    return text


# --- no network ---


def test_a_host_that_does_not_exist(served, monkeypatch):
    """A name that DNS does not know is named, with what to check."""
    monkeypatch.setenv("HF_ENDPOINT", "http://nowhere.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_host)
    reason = "cannot find host nowhere.invalid: Name or service not known; is the name right, and is there a network?"
    assert reason == refused("http://elsewhere.invalid/x.gguf").replace("elsewhere", "nowhere")
    assert f"org/repo is no file here and no built-in model, and the hub cannot be asked: {reason}" == refused("org/repo")
    assert refused("Qwen/Qwen3-0.7B").endswith("did you mean Qwen/Qwen3-1.7B or Qwen/Qwen3-0.6B or Qwen/Qwen3.5-0.8B?")


def _no_such_host(*_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_server_that_does_not_answer(served, monkeypatch):
    """DNS is not waited for longer than a connection is."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3) or [])
    assert "the name server did not answer" in refused("http://slow.invalid/x.gguf", QUICK._replace(connect_seconds=0.2))


def test_nothing_listens(served):
    """A port without a server is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert f"cannot reach 127.0.0.1:{port}: nothing listens there" == refused(f"http://127.0.0.1:{port}/x.gguf")


def test_offline(repo, monkeypatch):
    """HF_HUB_OFFLINE keeps every request back."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in refused(f"{repo.web}/plain/x.gguf")
    assert "not in the hub's cache" in refused("org/repo")
    assert [] == repo.seen


# --- refusals ---


def test_a_gated_repo_says_how_to_log_in(served):
    """Without a token: where to ask for access, and how to log in."""
    served.add("org/gated", {"x-Q4_K_M.gguf": gguf_file()}, gated=True)
    text = refused("org/gated")
    assert f"org/gated is gated (HTTP 401): ask for access at {served.url}/org/gated, then log in with `hf auth login` or set HF_TOKEN" == text


def test_a_gated_repo_and_a_token_without_access(served, monkeypatch):
    """With a token that has no access, the login is not at fault."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    served.add("org/gated", {"x-Q4_K_M.gguf": gguf_file()}, gated=True)
    assert "your token has no access (HTTP 403)" in refused("org/gated")


def test_a_gated_repo_opens_with_a_token(served, monkeypatch):
    """The token of the environment opens what it may."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    served.token = TOKEN
    served.add("org/gated", {"x-Q4_K_M.gguf": gguf_file()}, gated=True)
    assert 4912915936 == load("org/gated", QUICK).file_bytes


def test_a_repo_that_is_not_there(repo):
    """404: the nearest repos of the hub are named."""
    assert "has no repo org/repp, or it is private" in refused("org/repp")
    assert "did you mean org/repo?" in refused("org/repp")


def test_a_revision_that_is_not_there(repo):
    """404: the nearest revision is named."""
    assert "org/repo has no revision 'mian'" in refused("org/repo@mian")
    assert "did you mean main?" in refused("org/repo@mian")


def test_a_file_that_is_not_there(repo):
    """404: the nearest file of the repo is named."""
    assert "org/repo has no file x-Q4_K_S.gguf at main; did you mean x-Q4_K_M.gguf?" == refused("org/repo/x-Q4_K_S.gguf")


def test_an_address_that_is_not_there(served):
    """404 of a plain server."""
    assert f"{served.web}/plain/x.gguf: there is no such file (HTTP 404); is the address right?" == refused(f"{served.web}/plain/x.gguf")


def test_a_range_behind_the_end(repo):
    """416: the file is shorter than what was told of it."""

    def cut(handler: Handler) -> bool:
        handler.send(416, Content_Range="bytes */100")
        return True

    repo.faults["/repos/"] = cut
    assert "has 100 bytes, but byte 0 is needed (HTTP 416): the file is not whole" in refused(FILE, error=CorruptError)


# --- rate limits ---


def busy(times: int, **headers: str) -> Callable[[Handler], bool]:
    """429 so many times."""
    left = [times]

    def fault(handler: Handler) -> bool:
        left[0] -= 1
        if left[0] >= 0:
            handler.send(429, **headers)
        return left[0] >= 0

    return fault


@pytest.mark.parametrize("headers", [{"Retry_After": "0"}, {"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, {"ratelimit": '"api";r=0;t=0'}, {}])
def test_a_busy_server_is_asked_again(repo, headers):
    """429 with Retry-After in seconds, as a date, in the hub's own header, or without: the answer comes in the end."""
    repo.faults["/api/"] = busy(1, **headers)
    assert 4912915936 == load("org/repo", QUICK).file_bytes


def test_a_server_that_asks_for_a_long_wait(repo):
    """What takes too long is told at once, with what helps."""
    repo.faults["/api/"] = busy(9, Retry_After="300")
    assert "asks to wait 300 s (HTTP 429); who is logged in may ask more often" in refused("org/repo")
    assert 1 == len(repo.seen)


def test_a_server_that_stays_busy(repo):
    """Retries end."""
    repo.faults["/api/"] = busy(99, Retry_After="0")
    assert "is busy (HTTP 429), 3 times; try again later" in refused("org/repo")
    assert 3 == len(repo.seen)


def test_a_failing_server_is_asked_again(repo):
    """503 passes."""
    left = [2]

    def fault(handler: Handler) -> bool:
        left[0] -= 1
        if left[0] >= 0:
            handler.send(503)
        return left[0] >= 0

    repo.faults["/api/"] = fault
    assert 4912915936 == load("org/repo", QUICK).file_bytes


# --- ranges ---


def test_a_server_that_ignores_ranges(served):
    """200 in place of 206: as much is read as the header needs, and no weights."""
    served.plain["x.gguf"] = long_gguf()
    served.faults["/plain/"] = lambda handler: bool(handler.headers.__delitem__("Range"))
    model = load(f"{served.web}/plain/x.gguf", QUICK)
    assert served.plain["x.gguf"].size == model.file_bytes
    assert 1 == len(served.seen)
    assert served.sent < 16 * 2**20


def test_a_server_that_sends_another_range(served):
    """A range that was not asked for is never taken for the file."""
    served.plain["x.gguf"] = gguf_file()

    def fault(handler: Handler) -> bool:
        handler.send(206, bytes(100), Content_Range="bytes 7-106/1000")
        return True

    served.faults["/plain/"] = fault
    assert "asked for the bytes from 0, the server sent others" in refused(f"{served.web}/plain/x.gguf")


def test_a_server_that_sends_less_than_asked(served):
    """Short ranges are allowed: the rest is asked for."""
    served.plain["x.gguf"] = gguf_file()

    def fault(handler: Handler) -> bool:
        start = int(handler.headers["Range"][6:].partition("-")[0])
        handler.headers.replace_header("Range", f"bytes={start}-{start + 4095}")
        return False

    served.faults["/plain/"] = fault
    assert 4912915936 == load(f"{served.web}/plain/x.gguf", QUICK).file_bytes


def test_a_file_that_changes_while_it_is_read(served):
    """Parts of two versions are never put together."""
    served.plain["x.gguf"] = long_gguf()
    count = [0]

    def fault(handler: Handler) -> bool:
        count[0] += 1
        if count[0] == 2:
            served.plain["x.gguf"] = Sparse(b"GGUF", served.plain["x.gguf"].size)
        return False

    served.faults["/plain/"] = fault
    assert "was replaced while it was read; try again" in refused(f"{served.web}/plain/x.gguf")


# --- connections ---


def cut_off(handler: Handler) -> bool:
    """Half of what was promised."""
    handler.send_response(206)
    start, end = (int(n) for n in handler.headers["Range"][6:].split("-"))
    handler.send_header("Content-Range", f"bytes {start}-{end}/4912915936")
    handler.send_header("Content-Length", str(end + 1 - start))
    handler.end_headers()
    handler.write(real_header("llama3.1-8b")[start : start + (end - start) // 2])
    handler.close_connection = True
    return True


def test_a_connection_that_is_cut_once(repo):
    """What came is kept, the rest is asked for again."""
    count = [0]

    def once(handler: Handler) -> bool:
        count[0] += 1
        return count[0] == 1 and cut_off(handler)

    repo.faults["/repos/"] = once
    assert 4912915936 == load(FILE, QUICK).file_bytes
    assert [0, 12287] == [int(seen.range[6:].partition("-")[0]) for seen in repo.asked("/repos/")]


def test_a_connection_that_is_always_cut(repo):
    """Retries end, with the place where it broke."""

    def nothing(handler: Handler) -> bool:
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-24575/4912915936")
        handler.send_header("Content-Length", "24576")
        handler.end_headers()
        handler.close_connection = True
        return True

    repo.faults["/repos/"] = nothing
    assert "the connection was cut at byte 0, 3 times; try again later" in refused(FILE)


def test_a_server_that_hangs_up_before_it_answers(repo):
    """No answer at all."""

    def hang_up(handler: Handler) -> bool:
        handler.close_connection = True
        return True

    repo.faults["/api/"] = hang_up
    assert "the connection was cut" in refused("org/repo")


def test_a_server_that_stalls(repo):
    """A server that accepts and says nothing is waited for twice, not for ever."""

    def stall(handler: Handler) -> bool:
        time.sleep(1.5)
        handler.close_connection = True
        return True

    repo.faults["/api/"] = stall
    assert "does not answer: waited 0.4 s, twice" in refused("org/repo")


def test_a_server_that_dribbles(repo):
    """One byte now and then keeps no one for longer than the deadline."""

    def dribble(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        try:
            for _ in range(40):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        except OSError:
            pass
        handler.close_connection = True
        return True

    repo.faults["/api/"] = dribble
    assert "not read within 1 s; the server is too slow" in refused("org/repo", QUICK._replace(total_seconds=1.0))


def test_a_server_that_dribbles_its_head(served):
    """So does a head that never ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = listener.accept()
        try:
            peer.sendall(b"HTTP/1.1 200 OK\r\n")
            for _ in range(40):
                peer.sendall(b"X")
                time.sleep(0.1)
        except OSError:
            pass
        peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.gguf"
    assert "not read within 1 s" in refused(url, QUICK._replace(total_seconds=1.0))
    thread.join()
    listener.close()


def test_no_http(served):
    """A server that speaks something else."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(3):
            peer, _ = listener.accept()
            peer.recv(1000)
            peer.sendall(b"220 mail.example ESMTP\r\n")
            peer.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert "no sound HTTP (BadStatusLine)" in refused(f"http://127.0.0.1:{listener.getsockname()[1]}/x.gguf")
    thread.join()
    listener.close()


# --- redirects and secrets ---


def test_a_redirect_loop(served):
    """A circle is seen when it closes."""
    served.faults["/plain/"] = lambda handler: handler.redirect(f"{served.web}/plain/x.gguf") or True
    assert f"{served.web}/plain/x.gguf redirects in a circle" == refused(f"{served.web}/plain/x.gguf")


def test_endless_redirects(served):
    """So is a chain without end."""
    served.faults["/plain/"] = lambda handler: handler.redirect(handler.path + "a") or True
    assert "redirects more than 5 times" in refused(f"{served.web}/plain/x.gguf")


def test_a_redirect_to_a_file_of_this_machine(served):
    """Only http and https are followed."""
    served.faults["/plain/"] = lambda handler: handler.redirect("file:///etc/passwd") or True
    assert "only http and https addresses can be read" in refused(f"{served.web}/plain/x.gguf")


def test_a_redirect_out_of_encryption():
    """From https to http nothing is followed."""
    with pytest.raises(SourceError, match="not encrypted"):
        address.redirected(address.parse("https://a.test/x"), "http://a.test/x")


def test_a_token_stays_at_home(served, monkeypatch):
    """The hub sees the token, the host that it redirects to does not, nor does any other server."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    served.add("org/repo", {"x-Q4_K_M.gguf": gguf_file()})
    served.add("org/st", safetensors_repo(3))
    load("org/repo", QUICK)
    load("org/repo/x-Q4_K_M.gguf", QUICK)
    load("org/st", QUICK)
    load(f"{served.cdn}/repos/org/repo/x-Q4_K_M.gguf", QUICK)
    assert {("hub", f"Bearer {TOKEN}"), ("cdn", "")} == {(seen.host, seen.authorization) for seen in served.seen}


@pytest.mark.parametrize("url", ["http://user:{}@127.0.0.1:1/x.gguf", "http://127.0.0.1:1/x.gguf?token={}", "ftp://user:{}@h/x?t={}"])
def test_no_message_shows_a_secret(served, url):
    """Neither a password nor a query is repeated."""
    refused(url.replace("{}", TOKEN))


def test_no_source_shows_a_signature(served):
    """The address of an answer is without its query, which may hold a signature."""
    served.plain["x.gguf"] = gguf_file()
    assert "secret" not in load(f"{served.web}/plain/x.gguf?X-Amz-Signature=secret", QUICK).source


# --- private networks ---

NOT_PUBLIC = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::",
    "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("ip", NOT_PUBLIC)
def test_private_addresses_are_known(ip):
    """Loopback, private, link-local, shared, multicast, and all of them inside IPv6."""
    assert not address.is_public(ip)


@pytest.mark.parametrize("ip", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_known(ip):
    """The rest of the internet."""
    assert address.is_public(ip)


def test_a_server_does_not_read_private_networks(served):
    """With public access an address of this machine is refused, and no request is made."""
    assert "127.0.0.1 lies in a private network: refused here" == refused(f"{served.web}/plain/x.gguf", PUBLIC)
    assert [] == served.seen


def test_a_name_that_leads_into_a_private_network(served, monkeypatch):
    """What counts is the address behind the name."""
    rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
    assert "innocent.test lies in a private network" in refused("http://innocent.test/x.gguf", PUBLIC)


def test_a_redirect_into_a_private_network(served, monkeypatch):
    """Each redirect is checked anew."""
    served.faults["/plain/"] = lambda handler: handler.redirect("http://inside.test/x.gguf") or True
    port = int(served.web.rpartition(":")[2])
    monkeypatch.setattr(address, "is_public", lambda ip: ip != "10.0.0.7")
    where = {"outside.test": ("127.0.0.1", port), "inside.test": ("10.0.0.7", 80)}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", where[host])])
    assert "inside.test lies in a private network" in refused("http://outside.test/plain/x.gguf", PUBLIC)


def test_a_server_reads_no_files(tmp_path):
    """With public access a path of this machine is no model."""
    (tmp_path / "x.gguf").write_bytes(real_header("llama3.1-8b"))
    assert "no such file" in refused(str(tmp_path / "x.gguf"), PUBLIC)


# --- files ---


def test_a_file_that_is_shorter_than_its_header_says(served):
    """A download that broke off, put on a server."""
    served.plain["x.gguf"] = gguf_file()._replace(size=10**9)
    assert "not within the file bounds" in refused(f"{served.web}/plain/x.gguf", error=CorruptError)


def test_a_file_that_ends_in_its_header(served):
    """So early that not even the header is whole."""
    served.plain["x.gguf"] = real_header("llama3.1-8b")[:5000]
    assert f"{served.web}/plain/x.gguf" in refused(f"{served.web}/plain/x.gguf", error=CorruptError)


def test_an_empty_file(served):
    """Nothing at all."""
    served.plain["x.gguf"] = b""
    refused(f"{served.web}/plain/x.gguf", error=CorruptError)


def test_a_page_in_place_of_a_file(served):
    """HTML, as a login page has it."""
    served.plain["x.gguf"] = b"<!doctype html><title>Log in</title>" * 10
    assert "not a GGUF file: it begins with b'<!do'" in refused(f"{served.web}/plain/x.gguf", error=CorruptError)


def test_a_header_length_of_2_63(served):
    """A safetensors shard that claims a header of 2^63 bytes."""
    files = safetensors_repo(2)
    files["model-00002-of-00002.safetensors"] = Sparse((2**63).to_bytes(8, "little") + b"{", 10**6)
    served.add("org/st", files)
    assert "claims 9,223,372,036,854,775,808 bytes, over the format's limit" in refused("org/st", error=CorruptError)


@pytest.mark.parametrize("bomb", [b"[" * 10**6, b'{"a":' * 10**5, b"1" * 10**6], ids=["lists", "objects", "digits"])
def test_a_json_bomb(served, bomb):
    """A config that is made to break a reader."""
    served.add("org/bomb", {"config.json": bomb})
    assert "is not one JSON object" in refused("org/bomb", error=CorruptError)


def test_a_config_too_large(served):
    """A config of gigabytes is not fetched."""
    served.add("org/huge", {"config.json": Sparse(b"{", 10**10)})
    assert "over the limit" in refused("org/huge")
    assert served.sent < 10_000


def test_a_listing_too_large(served):
    """Nor is a listing without end."""

    def endless(handler: Handler) -> bool:
        handler.send_response(200)
        handler.end_headers()
        handler.pour(Sparse(b"[", 10**9), 10**9)
        return True

    served.faults["/api/"] = endless
    assert "larger than" in refused("org/repo", QUICK._replace(total_seconds=5.0))


def test_a_missing_shard(served):
    """A split GGUF of which a part was not uploaded."""
    files = split_gguf(3)
    del files["model-Q4_K_M-00002-of-00003.gguf"]
    served.add("org/split", files)
    assert "lacks 1 of 3 parts of the model: model-Q4_K_M-00002-of-00003.gguf" in refused("org/split")


def test_a_missing_shard_at_an_address(served):
    """The same on a plain server."""
    files = split_gguf(3)
    del files["model-Q4_K_M-00002-of-00003.gguf"]
    served.plain.update(files)
    text = refused(f"{served.web}/plain/model-Q4_K_M-00001-of-00003.gguf")
    assert "model-Q4_K_M-00002-of-00003.gguf: there is no such file (HTTP 404)" in text


def test_a_missing_safetensors_file(served):
    """A shard that the index names and the repo lacks."""
    files = safetensors_repo(3)
    del files["model-00002-of-00003.safetensors"]
    served.add("org/st", files)
    assert "lacks 1 of 3 safetensors files that its index names: model-00002-of-00003.safetensors" in refused("org/st")


def test_a_repo_without_a_model(served):
    """What there is instead is told."""
    served.add("org/none", {"README.md": b"x", "adapter_config.json": b"{}"})
    assert "neither a GGUF file nor a config.json, but README.md, adapter_config.json" in refused("org/none")


def test_no_hub(served):
    """An endpoint that is no hub."""
    served.faults["/api/"] = lambda handler: handler.send(200, b"<html>") or True
    assert "did not answer as the hub does: is the endpoint right?" in refused("org/repo")


def test_every_wait_ends():
    """A deadline that has passed ends every further wait."""
    now = [0.0]
    deadline = wire.Deadline(5, lambda: now[0])
    assert 5 == deadline.left()
    now[0] = 5.0
    with pytest.raises(SourceError, match="not read within 5 s"):
        deadline.left()


def test_the_plan_is_not_trusted_blindly(served):
    """The header that travels in parts is the header of the file."""
    served.plain["x.gguf"] = long_gguf()
    expected = gguf.parse(served.plain["x.gguf"].head).tensors
    assert expected == load(f"{served.web}/plain/x.gguf", QUICK).tensors
