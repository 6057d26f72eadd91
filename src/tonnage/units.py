"""Units of size: bytes are integers everywhere, and only `render` rounds them."""

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
KB = 1000
MB = 1000 * KB
GB = 1000 * MB

_SIZE = r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(i?)b?\s*"
_POWERS = " kmgtp"


def ceil_div(a: int, b: int) -> int:
    """The smallest integer that is not below `a / b`."""
    return -(-a // b)


def pad(n: int, alignment: int) -> int:
    """`n` rounded up to a multiple of `alignment` (ggml: GGML_PAD)."""
    return -(-n // alignment) * alignment


def parse_bytes(text: str, *, memory: bool = False) -> int | None:
    """Bytes of a written size such as `24GB`, `23990MiB` or `512`; None when it is no size.

    `GB` is 10^9 and `GiB` 2^30, but memory is sold by the binary size under the decimal name:
    with `memory` a "24GB" card or kit holds 24 GiB.
    """
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if not match:
        return None
    number, prefix, binary = match.groups()
    base = 1024 if binary or memory else 1000
    return round(float(number) * int(base ** _POWERS.index(prefix.lower() or " ")))


def parse_tokens(text: str) -> int | None:
    """Tokens of `256K` (262,144), `1M` or `32768`; None when it is no count."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([km]?)\s*", text.replace(",", "").replace("_", ""), re.IGNORECASE)
    if not match:
        return None
    return round(float(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2].lower()])
