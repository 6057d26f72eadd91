"""What every request passes: limits before the work, headers and counts after it, and no traceback to anyone."""

import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from html import escape
from math import ceil
from typing import Any, NamedTuple
from uuid import uuid4

from tonnage.serve.asked import kind
from tonnage.serve.counts import Counts
from tonnage.serve.headers import NEVER, security
from tonnage.serve.rate import Buckets, client_of
from tonnage.serve.settings import Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS = ("GET", "HEAD")
UNLIMITED = ("healthz", "metrics")
log = logging.getLogger("tonnage.serve")


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int
    words: str
    headers: tuple[tuple[str, str], ...] = ()
    limit: str = ""
    """the limit that it is over"""


class Gate:
    """An application behind limits."""

    def __init__(self, app: App, settings: Settings, counts: Counts, policy: str) -> None:
        self.app, self.settings, self.counts, self.policy = app, settings, counts, policy
        self._buckets = Buckets(settings.rate, settings.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other things than requests pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passing = _Passing(self, scope, send)
        try:
            refused = self.refusal(scope)
            if refused:
                await passing.refuse(refused)
            else:
                await self.app(scope, receive, passing.send)
        except Exception:
            number = uuid4().hex[:12]
            log.exception("request %s failed: %r", number, target_of(scope)[:300])
            if not passing.status:
                await passing.refuse(Refusal(500, f"Something went wrong here. It is written down as {number}."))

    def refusal(self, scope: Scope) -> Refusal | None:
        """Why this request is not answered, if it is not."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        if scope["method"] not in METHODS:
            if scope["method"] == "OPTIONS":
                return Refusal(
                    204, "", (("allow", "GET, HEAD, OPTIONS"), ("access-control-allow-methods", "GET, HEAD"), ("access-control-max-age", "86400"))
                )
            return Refusal(405, "Only GET and HEAD are answered.", (("allow", "GET, HEAD, OPTIONS"),))
        if len(target_of(scope)) > self.settings.url_bytes:
            return Refusal(414, f"An address may have {self.settings.url_bytes} bytes.", limit="url")
        length = headers.get(b"content-length", b"0")
        if b"transfer-encoding" in headers or not length.isdigit() or int(length) > self.settings.body_bytes:
            return Refusal(413, "A question is an address; it has no body.", (("connection", "close"),), limit="body")
        return self._too_often(scope)

    def _too_often(self, scope: Scope) -> Refusal | None:
        if kind(scope["path"]) in UNLIMITED:
            return None
        wait = self._buckets.wait(client_of((scope.get("client") or ("",))[0]), time.monotonic())
        if not wait:
            return None
        return Refusal(429, f"Too many questions: {self.settings.rate:g} a second are answered.", (("retry-after", str(ceil(wait))),), limit="rate")


class _Passing:
    """One request on its way."""

    def __init__(self, gate: Gate, scope: Scope, send: Send) -> None:
        self.gate, self.scope, self._send = gate, scope, send
        self.kind = kind(scope["path"])
        self.status = 0
        self._start = time.perf_counter()

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has; of an answer to HEAD the head alone."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *security(self.kind, self.gate.policy)]
            self.gate.counts.add("tonnage_requests_total", kind=self.kind, status=str(self.status))
            self.gate.counts.time(time.perf_counter() - self._start, kind=self.kind)
        elif self.scope["method"] == "HEAD":
            message["body"] = b""
        await self._send(message)

    async def refuse(self, refused: Refusal) -> None:
        """Say why not, in the form of what was asked for."""
        if refused.limit:
            self.gate.counts.add("tonnage_refused_total", limit=refused.limit)
        body, type_ = told(self.kind, refused)
        headers = [("content-type", type_), ("content-length", str(len(body))), ("cache-control", NEVER), *refused.headers]
        await self.send({"type": "http.response.start", "status": refused.status, "headers": [(n.encode(), v.encode()) for n, v in headers]})
        await self.send({"type": "http.response.body", "body": body})


def told(kind: str, refused: Refusal) -> tuple[bytes, str]:
    """A refusal as JSON for programs, else as a small page."""
    if not refused.words:
        return b"", "text/plain"
    if kind == "api":
        error = {"kind": "refused", "message": refused.words, "nearest": []}
        return json.dumps({"schema": 1, "error": error}).encode(), "application/json"
    return (
        f'<!doctype html><html lang="en"><title>{refused.status}</title><h1>{escape(refused.words)}</h1></html>'.encode(),
        "text/html; charset=utf-8",
    )


def target_of(scope: Scope) -> bytes:
    """Path and query as they came."""
    query = scope.get("query_string", b"")
    return bytes(scope.get("raw_path") or scope["path"].encode()) + (b"?" + query if query else b"")
