"""Headers of every answer: what a browser may do with it, and how long it may be kept."""

from collections.abc import Iterator

Header = tuple[bytes, bytes]

ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000"),  # browsers heed it over TLS alone
)
OPEN = ("api", "openapi.json", "badge.svg", "fragment", "og", "oembed", "data")
"""kinds of paths that pages of others may read"""
LASTING = "public, max-age=300, s-maxage=3600, stale-while-revalidate=86400"
"""an answer of this edition: a browser asks again after five minutes (and is told 304), a cache in front after an hour"""
PASSING = "public, max-age=60"
"""an error, or an answer that depends on what others serve"""
NEVER = "no-store"


def security(kind: str, policy: str) -> Iterator[Header]:
    """What a browser may do; pages of others may frame the card to embed alone."""
    yield from ALWAYS
    framed = kind == "embed"
    yield b"content-security-policy", f"{policy}; frame-ancestors {'*' if framed else chr(39) + 'none' + chr(39)}".encode()
    if not framed:
        yield b"x-frame-options", b"DENY"
    if kind in OPEN:
        yield b"access-control-allow-origin", b"*"
        yield b"cross-origin-resource-policy", b"cross-origin"
    else:
        yield b"cross-origin-resource-policy", b"same-origin"


def matches(asked: str, etag: str) -> bool:
    """Whether If-None-Match names the version that there is."""
    return bool(etag) and any(word.strip().removeprefix("W/").strip('"') == etag for word in asked.split(","))
