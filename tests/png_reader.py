"""A PNG of 8 bits and four channels, as resvg writes it, read by the standard library alone."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple


class Picture(NamedTuple):
    """Its size, and its bytes as they are packed."""

    width: int
    height: int
    data: bytes

    def rows(self) -> Iterator[bytes]:
        """Each row as red, green, blue and opacity of every pixel."""
        raw, wide, last = zlib.decompress(self.data), 4 * self.width, bytes(4 * self.width)
        for at in range(0, len(raw), wide + 1):
            last = _unfiltered(raw[at], raw[at + 1 : at + 1 + wide], last)
            yield last


def read(data: bytes) -> Picture:
    """The picture in a file."""
    assert b"\x89PNG\r\n\x1a\n" == data[:8]
    width, height, depth, colour = struct.unpack(">IIBB", data[16:26])
    assert (8, 6) == (depth, colour)
    return Picture(width, height, b"".join(body for kind, body in _chunks(data) if kind == b"IDAT"))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def _unfiltered(kind: int, row: bytes, above: bytes) -> bytes:
    out = bytearray(row)
    for i, value in enumerate(row):
        left, up, corner = (out[i - 4], above[i], above[i - 4]) if i > 3 else (0, above[i], 0)
        out[i] = (value + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 255
    return bytes(out)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))
