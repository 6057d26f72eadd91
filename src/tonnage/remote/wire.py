"""One HTTP/1.1 connection: dialled by checked addresses, every wait bounded, kept for the next request."""

import http.client
import io
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from tonnage.errors import SourceError
from tonnage.remote.access import Access
from tonnage.remote.address import Url, resolve

USER_AGENT = "tonnage (reads headers of model files)"


class Deadline:
    """The end of all waiting."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds that remain; SourceError where there are none."""
        left = self._end - self._clock()
        if left <= 0:
            raise SourceError(f"not read within {self.seconds:g} s; the server is too slow, try again later")
        return left


class Connection:
    """A connection to one origin; used by one thread at a time."""

    def __init__(self, url: Url, access: Access, deadline: Deadline, proxy: Url | None = None) -> None:
        self.origin = url.origin
        self.proxy = proxy
        self.used = False
        self._access, self._deadline = access, deadline
        self._http = self._make(url)

    def _make(self, url: Url) -> http.client.HTTPConnection:
        to = self.proxy or url
        seconds = min(self._access.connect_seconds, self._deadline.left())
        made: http.client.HTTPConnection
        if self.proxy and url.scheme == "https":
            made = http.client.HTTPSConnection(to.host, to.port, timeout=seconds, context=_tls())
            made.set_tunnel(url.host, url.port)
            made.connect()
        else:
            made = http.client.HTTPConnection(to.host, to.port, timeout=seconds)
            sock = _dial(to, self._access, self._deadline)
            made.sock = _tls().wrap_socket(sock, server_hostname=url.host) if url.scheme == "https" else sock
        made.sock = _Timed(made.sock, self._access.read_seconds, self._deadline)
        return made

    def request(self, url: Url, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Ask, and wait for the answer's head."""
        target = url.whole if self.proxy and url.scheme == "http" else url.target
        self._http.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": url.authority, "User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}.items():
            self._http.putheader(name, value)
        self._http.endheaders()
        return self._http.getresponse()

    def close(self) -> None:
        """Hang up."""
        self._http.close()


class _Timed:
    """A socket whose every wait ends: after the time that a read may take, and at the deadline."""

    def __init__(self, sock: socket.socket, seconds: float, deadline: Deadline) -> None:
        self._sock, self._seconds, self._deadline = sock, seconds, deadline

    def _limit(self) -> None:
        self._sock.settimeout(min(self._seconds, self._deadline.left()))

    def sendall(self, data: bytes) -> None:
        """Send everything."""
        self._limit()
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """The reading end."""
        return io.BufferedReader(_TimedReader(self._sock.makefile("rb", buffering=0), self._limit), 16 * 1024)

    def close(self) -> None:
        """Hang up once the reading end is closed too."""
        self._sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: socket.SocketIO, limit: Callable[[], None]) -> None:
        self._raw, self._limit = raw, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._limit()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _tls() -> Any:
    import ssl

    return ssl.create_default_context()


def _dial(url: Url, access: Access, deadline: Deadline) -> socket.socket:
    """A socket to the first address that answers."""
    refused: OSError | None = None
    for family, address in resolve(url, private=access.private, seconds=min(access.connect_seconds, deadline.left())):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(min(access.connect_seconds, deadline.left()))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            refused = error
        except SourceError:
            sock.close()  # the deadline has passed
            raise
        else:
            return sock
    raise refused or OSError("no address")
