"""Answers, kept by their canonical question; what is asked twice at once is made once."""

import asyncio
import gzip
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, NamedTuple

from tonnage.pages import Site, reply
from tonnage.remote.opening import REMEMBERED_SECONDS
from tonnage.serve.asked import canonical, is_near
from tonnage.serve.edition import edition
from tonnage.serve.lanes import is_long
from tonnage.serve.settings import Settings

SMALL_BYTES = 512
"""what is not worth packing"""
_PACKED = ("text/", "application/json", "application/xml", "image/svg")


class Answer(NamedTuple):
    """A reply with its bytes, packed and not."""

    status: int
    type: str
    body: bytes
    packed: bytes
    """by gzip; empty where that is not worth it"""
    etag: str
    lasting: bool
    """whether it holds as long as this edition does"""
    until: float
    """when it is to be made anew"""

    @property
    def nbytes(self) -> int:
        """What it takes in memory, roughly."""
        return len(self.body) + len(self.packed) + 1024


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")


class BusyError(Exception):
    """There is too much to do, or it takes too long."""


class Answers:
    """The answers of one worker."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self.site, self.settings = site, settings
        self.nbytes = 0
        self._kept: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._running: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._searching = 0
        self._near = ThreadPoolExecutor(2, "near")
        self._far = ThreadPoolExecutor(settings.lookups, "far")
        # one, which leaves most of the time to all others: a search may take seconds
        self._long = ThreadPoolExecutor(1, "long")

    @property
    def waiting(self) -> int:
        """Questions in work or in line."""
        return len(self._running)

    def close(self) -> None:
        """Begin nothing more."""
        for pool in (self._near, self._far, self._long):
            pool.shutdown(wait=False, cancel_futures=True)

    async def find(self, path: str, query: str) -> tuple[Answer, str]:
        """The answer, and how it was come by: kept, shared or made; BusyError."""
        key = path, canonical(path, query)
        found = self._kept.get(key)
        if found and found.until > time.monotonic():
            self._kept.move_to_end(key)
            return found, "kept"
        how = "shared" if key in self._running else "made"
        if how == "made":
            self._begin(key)
        try:
            # what one client no longer waits for may be what the next one asks
            return await asyncio.wait_for(asyncio.shield(self._running[key]), self.settings.seconds), how
        except TimeoutError:
            raise BusyError("slow") from None

    def _begin(self, key: tuple[str, str]) -> None:
        if len(self._running) - self._searching >= self.settings.waiting:
            raise BusyError("busy")
        task = asyncio.create_task(self._made(key))
        self._running[key] = task
        task.add_done_callback(lambda done: self._end(key, done))

    async def _made(self, key: tuple[str, str]) -> Answer:
        """The answer, from the line that its question belongs in."""
        near, loop = is_near(*key), asyncio.get_running_loop()
        made = await loop.run_in_executor(self._near if near else self._far, self._made_soon, *key, near)
        if made:
            return made
        if self._searching >= self.settings.searches:
            raise BusyError("searches")
        self._searching += 1
        try:
            return await loop.run_in_executor(self._long, self._make, *key, near)
        finally:
            self._searching -= 1

    def _made_soon(self, path: str, query: str, near: bool) -> Answer | None:
        return None if is_long(path, query, self.site) else self._make(path, query, near)

    def _make(self, path: str, query: str, near: bool) -> Answer:
        made = reply(path, query, self.site)
        body = _bytes(made.body)
        good = made.status == 200
        told = f"{edition()} {self.site.origin} {path}?{query}".encode("utf-8", "replace") if near and good else body
        packed = gzip.compress(body, 6, mtime=0) if len(body) > SMALL_BYTES and made.type.startswith(_PACKED) else b""
        until = float("inf") if near else time.monotonic() + REMEMBERED_SECONDS
        return Answer(made.status, made.type, body, packed, sha256(told).hexdigest()[:24] if good else "", near and good, until)

    def _end(self, key: tuple[str, str], done: asyncio.Task[Answer]) -> None:
        self._running.pop(key, None)
        if done.cancelled() or done.exception():
            return
        self._forget(key)
        self._kept[key] = done.result()
        self.nbytes += done.result().nbytes
        while self.nbytes > self.settings.kept_bytes and self._kept:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: tuple[str, str]) -> None:
        old = self._kept.pop(key, None)
        self.nbytes -= old.nbytes if old else 0
