"""Headers kept on disk: pieces of remote files, found again by address, ETag and size.

An entry is one file that is written beside its place and renamed onto it, so that readers see all of it or
nothing. It begins with a checksum: what does not agree with it is dropped and read again.
"""

import json
import os
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import NamedTuple

MAX_ENTRY_BYTES = 32 * 1024 * 1024
MAX_BYTES = 256 * 1024 * 1024
"""of all entries; the oldest go first"""
_MAGIC = b"TONNAGE1"
_SUFFIX = ".head"
_HEAD = len(_MAGIC) + 32

Span = tuple[int, bytes]
"""offset in the file, and what is there"""


class Key(NamedTuple):
    """Which version of which file."""

    url: str
    etag: str
    size: int

    @property
    def name(self) -> str:
        """File of the entry."""
        return sha256(json.dumps(self).encode()).hexdigest()[:40] + _SUFFIX


class Entry(NamedTuple):
    """What `tonnage cache show` tells."""

    url: str
    etag: str
    file_bytes: int
    kept_bytes: int


class Store:
    """The folder of entries. It never fails: what cannot be kept is read again."""

    def __init__(self, folder: str, max_bytes: int = MAX_BYTES) -> None:
        self.folder = folder
        self._headers = os.path.join(folder, "headers") if folder else ""
        self._max_bytes = max_bytes

    def get(self, key: Key) -> list[Span]:
        """The pieces that are kept; none where the entry is missing or damaged."""
        path = os.path.join(self._headers, key.name)
        found = _read(path) if self._headers else None
        if found is None or found[0] != key:
            return []
        try:
            os.utime(path)  # the oldest unused entry goes first
        except OSError:
            pass
        return found[1]

    def put(self, key: Key, spans: Iterable[Span]) -> None:
        """Keep these pieces."""
        data = _pack(key, list(spans))
        if not self._headers or len(data) > MAX_ENTRY_BYTES:
            return
        temporary = os.path.join(self._headers, f".{os.getpid()}-{os.urandom(6).hex()}")
        try:
            os.makedirs(self._headers, mode=0o700, exist_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            os.replace(temporary, os.path.join(self._headers, key.name))
        except OSError:
            _remove(temporary)
        self._shrink()

    def entries(self) -> Iterator[Entry]:
        """All sound entries."""
        for path, nbytes, _ in self._files():
            found = _read(path)
            if found is not None:
                yield Entry(*found[0], nbytes)

    def clear(self) -> tuple[int, int]:
        """Remove everything; returns how many files and bytes that were."""
        files = self._files()
        for path, _, _ in files:
            _remove(path)
        return len(files), sum(nbytes for _, nbytes, _ in files)

    def _shrink(self) -> None:
        files = sorted(self._files(), key=lambda file: file[2])
        total = sum(nbytes for _, nbytes, _ in files)
        for path, nbytes, _ in files:
            if total <= self._max_bytes:
                return
            _remove(path)
            total -= nbytes

    def _files(self) -> list[tuple[str, int, float]]:
        """Path, bytes and time of every entry, and of what an interrupted writer has left."""
        found = []
        try:
            with os.scandir(self._headers) as entries:
                for entry in entries:
                    try:
                        at = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue  # another process has just removed it
                    if entry.name.endswith(_SUFFIX) or entry.name.startswith("."):
                        found.append((entry.path, at.st_size, at.st_mtime))
        except OSError:
            return []
        return found


def _pack(key: Key, spans: list[Span]) -> bytes:
    head = json.dumps([*key, [[at, len(data)] for at, data in spans]]).encode()
    body = len(head).to_bytes(4, "little") + head + b"".join(data for _, data in spans)
    return _MAGIC + sha256(body).digest() + body


def _read(path: str) -> tuple[Key, list[Span]] | None:
    """The entry; a damaged one is removed."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_ENTRY_BYTES + 1)
    except OSError:
        return None
    if not path.endswith(_SUFFIX):
        return None  # another process is writing it
    found = _unpack(data)
    if found is None:
        _remove(path)
    return found


def _unpack(data: bytes) -> tuple[Key, list[Span]] | None:
    body = data[_HEAD:]
    if data[: len(_MAGIC)] != _MAGIC or data[len(_MAGIC) : _HEAD] != sha256(body).digest():
        return None
    try:
        at = 4 + int.from_bytes(body[:4], "little")
        url, etag, size, places = json.loads(body[4:at])
        spans = []
        for offset, nbytes in places:
            spans.append((offset, body[at : at + nbytes]))
            at += nbytes
    except (ValueError, TypeError):
        return None
    return Key(url, etag, size), spans


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
