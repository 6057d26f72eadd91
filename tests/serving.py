"""The server's application, asked without a socket."""

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tonnage.serve.app import create_app
from tonnage.serve.settings import Settings

QUIET = Settings(hub=False, rate=0)


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as it was before it was packed."""
        return (gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body).decode()


class Asker:
    """Sends requests to the application, within one event loop."""

    def __init__(self, settings: Settings = QUIET) -> None:
        self.app = create_app(settings)
        self.loop = asyncio.new_event_loop()

    def get(self, target: str | bytes, headers: Mapping[str, str] | None = None, method: str = "GET", client: str = "203.0.113.7") -> Got:
        """Ask for a path with its query."""
        return self.loop.run_until_complete(self.ask(target, headers or {}, method, client))

    async def ask(self, target: str | bytes, headers: Mapping[str, str], method: str, client: str) -> Got:
        """The same, within the loop."""
        path, _, query = (target.encode() if isinstance(target, str) else target).partition(b"?")
        told = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path.decode("utf-8", "replace"), "raw_path": path, "query_string": query,
            "root_path": "", "headers": told, "client": (client, 50000), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        head, *rest = sent
        return Got(head["status"], {n.decode(): v.decode() for n, v in head["headers"]}, b"".join(part.get("body", b"") for part in rest))


@contextmanager
def asking(settings: Settings = QUIET) -> Iterator[Asker]:
    """An application for one test."""
    asker = Asker(settings)
    try:
        yield asker
    finally:
        asker.loop.run_until_complete(asker.loop.shutdown_default_executor())
        asker.loop.close()
