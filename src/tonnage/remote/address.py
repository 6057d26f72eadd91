"""Addresses: taken apart, shown without secrets, and refused where they lead into a private network."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from tonnage.errors import SourceError

_PORTS = {"http": 80, "https": 443}
_EMBEDS_V4 = IPv6Network("64:ff9b::/96")  # NAT64 (RFC 6052)


class UnreachableError(SourceError):
    """There is no way to the server: no network, no such host, nothing that listens."""


class Url(NamedTuple):
    """An http or https address."""

    scheme: str
    host: str
    port: int
    target: str
    """path and query, as they are sent"""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What may see the same credentials."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Host, and port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        """Without the query."""
        return self.target.partition("?")[0]

    def __str__(self) -> str:
        """For messages: without the query, which may hold a signature."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def whole(self) -> str:
        """With the query, as it is sent."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str) -> Url:
    """The address; SourceError for other schemes, and for one that holds a password."""
    try:
        parts = urlsplit(text.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host if host.isascii() else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise SourceError(f"not a sound address: {_clipped(text)}") from None
    if parts.scheme not in _PORTS or not host:
        raise SourceError(f"only http and https addresses can be read, not {_clipped(text)}")
    if parts.username or parts.password:
        raise SourceError(f"an address must not hold a user name or password: {parts.scheme}://...@{host}; set HF_TOKEN for the hub instead")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{quote(parts.query, safe=_QUERY)}" if parts.query else "")
    return Url(parts.scheme, host, port or _PORTS[parts.scheme], target)


_QUERY = "/%:@!$&'()*+,;=~-._?"


def _clipped(text: str) -> str:
    """The start of what was given, without what may be secret."""
    return repr(text.partition("?")[0].rpartition("@")[2][:80])


def redirected(url: Url, location: str) -> Url:
    """Where a redirect leads; not from https to http."""
    to = parse(urljoin(url.whole, location))
    if url.scheme == "https" and to.scheme == "http":
        raise SourceError(f"{url} redirects to an address that is not encrypted, {to}: refused")
    return to


def resolve(url: Url, *, private: bool, seconds: float) -> Iterator[tuple[Any, ...]]:
    """Socket families and addresses of the host, checked after DNS so that no name can hide where it leads."""
    found = _lookup(url, seconds)
    for *_, address in found:
        if not private and not is_public(str(address[0])):
            raise SourceError(f"{url.host} lies in a private network: refused here")
    for family, _, _, _, address in found:
        yield family, address


def _lookup(url: Url, seconds: float) -> list[Any]:
    """getaddrinfo in a thread of its own: it knows no time limit."""
    from threading import Thread

    answer: list[Any] = []
    thread = Thread(target=lambda: answer.append(_getaddrinfo(url)), daemon=True)
    thread.start()
    thread.join(seconds)
    if not answer:
        raise UnreachableError(f"the name server did not answer for {url.host} in {seconds:.0f} s; is there a network?")
    if isinstance(answer[0], OSError):
        raise UnreachableError(f"cannot find host {url.host}: {answer[0].strerror or answer[0]}; is the name right, and is there a network?")
    found: list[Any] = answer[0]
    return found


def _getaddrinfo(url: Url) -> list[Any] | OSError:
    try:
        return socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    except UnicodeError:
        return OSError(0, "not a host name")


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet, and no private one hides in it."""
    address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPv6Address) -> IPv4Address | None:
    if address in _EMBEDS_V4:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
