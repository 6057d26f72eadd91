"""HTTP for readers of headers: connections kept, redirects followed, waits and retries bounded, secrets kept at home.

A token is tied to an origin (scheme, host, port): no redirect carries it elsewhere, and no message shows it.
"""

import re
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPResponse
from threading import Lock
from typing import NamedTuple

from tonnage.errors import SourceError
from tonnage.remote import address
from tonnage.remote.access import Access
from tonnage.remote.address import UnreachableError, Url
from tonnage.remote.wire import Connection, Deadline

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 500, 502, 503, 504)
_PIECE = 64 * 1024


class CutError(Exception):
    """The connection ended, or stood still, before all was there; `got` is what came."""

    def __init__(self, got: bytes, why: str) -> None:
        super().__init__(why)
        self.got = got


class Page(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: Url


class Answer:
    """The head of an answer, whose body is read as far as it is needed."""

    def __init__(self, client: "Client", connection: Connection, response: HTTPResponse, url: Url, first: Mapping[str, str]) -> None:
        self.status = response.status
        self.headers: dict[str, str] = {name.lower(): value for name, value in response.getheaders()}
        self.url = url
        self.first = first
        """headers of the first answer, where that was a redirect"""
        self._client, self._connection, self._response = client, connection, response

    def read(self, nbytes: int) -> bytes:
        """The next `nbytes`, or what is left; CutError where it ends early."""
        got = bytearray()
        try:
            while len(got) < nbytes and (piece := self._response.read1(min(nbytes - len(got), _PIECE))):
                got += piece
                self._client.count(len(piece))
        except TimeoutError:
            self.close()
            raise CutError(bytes(got), "the server stopped answering") from None
        except (OSError, HTTPException, ValueError):
            self.close()
            raise CutError(bytes(got), "the connection was cut") from None
        except SourceError:
            self.close()  # the deadline has passed
            raise
        if len(got) < nbytes and self._response.length:
            self.close()
            raise CutError(bytes(got), "the connection was cut")
        return bytes(got)

    def close(self) -> None:
        """Keep the connection where the body was read to its end, else hang up: the rest must not travel."""
        whole = self._response.isclosed() or self._response.length == 0
        self._response.close()
        if whole and not self._response.will_close:
            self._client.keep(self._connection)
        else:
            self._connection.close()


class Client:
    """Asks servers on behalf of one question: one deadline, one set of connections. Safe for threads."""

    def __init__(self, access: Access, tokens: Mapping[tuple[str, str, int], str] | None = None, sleep: Callable[[float], None] = time.sleep) -> None:
        self.access = access
        self.deadline = Deadline(access.total_seconds)
        self.requests = self.bytes = 0
        self._tokens = tokens or {}
        self._sleep = sleep
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._lock = Lock()

    def has_token(self, url: Url) -> bool:
        """Whether requests to this address carry a token."""
        return url.origin in self._tokens

    def get(self, url: Url, limit: int, headers: Mapping[str, str] | None = None) -> Page:
        """The whole answer, which may have `limit` bytes."""
        for attempt in range(self.access.attempts):
            answer = self.open(url, headers or {})
            try:
                body = answer.read(limit + 1)
            except CutError as cut:
                why = str(cut)
                self._pause(attempt)
                continue
            answer.close()
            if len(body) > limit:
                raise SourceError(f"the answer of {url} is larger than {limit:,} bytes: refused")
            return Page(answer.status, answer.headers, body, answer.url)
        raise SourceError(f"{url}: {why}, {self.access.attempts} times; try again later")

    def open(self, url: Url, headers: Mapping[str, str]) -> Answer:
        """The answer behind all redirects. Busy servers and lost connections are tried again."""
        at, first, seen = url, None, {url.whole}
        while True:
            answer = self._patiently(at, headers)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                answer.first = first or {}
                return answer
            answer.read(_PIECE)
            answer.close()
            first = first or answer.headers
            at = address.redirected(at, answer.headers["location"])
            if at.whole in seen or len(seen) > MAX_REDIRECTS:
                raise SourceError(f"{url} redirects in a circle" if at.whole in seen else f"{url} redirects more than {MAX_REDIRECTS} times")
            seen.add(at.whole)

    def leads(self, url: Url) -> tuple[Url, Mapping[str, str]]:
        """Where the redirect of this address leads, and what was told with it; the address itself where that cannot be told."""
        try:
            answer = self._patiently(url, {"Range": "bytes=0-0"})
            leads = answer.status in _REDIRECTS
            answer.read(_PIECE if leads else 1)  # a server without ranges sends the whole file
            answer.close()
            to = address.redirected(url, answer.headers["location"]) if leads else url
        except (SourceError, CutError, KeyError):
            return url, {}
        return to, answer.headers

    def _patiently(self, url: Url, headers: Mapping[str, str]) -> Answer:
        """One answer without redirects; what may pass is tried again."""
        for attempt in range(self.access.attempts):
            last = attempt + 1 == self.access.attempts
            try:
                answer = self._once(url, headers)
            except TimeoutError:
                if attempt:  # a server that stands still twice will do so again
                    raise SourceError(f"{url.authority} does not answer: waited {self.access.read_seconds:g} s, twice") from None
                continue
            except ssl.SSLCertVerificationError as error:
                raise SourceError(f"the certificate of {url.authority} is not trusted: {error.verify_message}") from None
            except (OSError, HTTPException) as error:
                if last:
                    raise UnreachableError(f"cannot reach {url.authority}: {_reason(error)}") from None
                self._pause(attempt)
                continue
            if answer.status not in _BUSY:
                return answer
            answer.close()
            if last:
                raise SourceError(f"{url.authority} is busy (HTTP {answer.status}), {self.access.attempts} times; try again later")
            self._wait_for(answer, attempt)
        raise UnreachableError(f"cannot reach {url.authority}")

    def _once(self, url: Url, headers: Mapping[str, str]) -> Answer:
        token = self._tokens.get(url.origin)
        sent = {"Accept": "*/*", **headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        while True:
            connection = self._connection(url)
            try:
                with self._lock:
                    self.requests += 1
                answer = Answer(self, connection, connection.request(url, sent), url, {})
            except (OSError, HTTPException) as error:
                connection.close()
                if connection.used and not isinstance(error, TimeoutError):
                    continue  # the server has hung up on a kept connection, as it may
                raise
            except SourceError:
                connection.close()  # the deadline has passed
                raise
            if answer.headers.get("content-encoding", "identity") != "identity":
                answer.close()
                raise SourceError(f"{url} is sent compressed, though it was asked for as it is")
            return answer

    def _connection(self, url: Url) -> Connection:
        with self._lock:
            idle = self._idle.get(url.origin)
            if idle:
                return idle.pop()
        return Connection(url, self.access, self.deadline, _proxy(url) if self.access.private else None)

    def keep(self, connection: Connection) -> None:
        """Take a connection back for the next request."""
        connection.used = True
        with self._lock:
            self._idle.setdefault(connection.origin, []).append(connection)

    def count(self, nbytes: int) -> None:
        """Bytes of bodies that came."""
        with self._lock:
            self.bytes += nbytes

    def close(self) -> None:
        """Hang up everywhere."""
        with self._lock:
            kept = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in kept:
            connection.close()

    def _pause(self, attempt: int) -> None:
        self._sleep(min(0.2 * 2**attempt, self.deadline.left()))

    def _wait_for(self, answer: Answer, attempt: int) -> None:
        """As long as the server asks for."""
        seconds = _asked_seconds(answer.headers)
        if seconds is None:
            self._pause(attempt)
        elif seconds > min(self.access.longest_wait_seconds, self.deadline.left()):
            hint = "" if self.has_token(answer.url) else "; who is logged in may ask more often (`hf auth login`, or HF_TOKEN)"
            raise SourceError(f"{answer.url.authority} asks to wait {seconds:.0f} s (HTTP {answer.status}){hint}")
        else:
            self._sleep(seconds)


def _asked_seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds or as a date, else the hub's `ratelimit: ...;t=55`."""
    asked = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", asked):
        return float(asked)
    if asked:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    limit = re.search(r"\bt=([0-9]{1,9})\b", headers.get("ratelimit", ""))
    return float(limit[1]) if limit else None


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, ConnectionError):
        return "the connection was cut"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"no sound HTTP ({type(error).__name__})"


def _proxy(url: Url) -> Url | None:
    """The proxy that the environment names for this address."""
    import os

    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    named = proxies.get(url.scheme) or proxies.get("all")
    return None if not named or proxy_bypass(url.authority) else address.parse(named if "://" in named else "http://" + named)
