"""The application: one route, since the pages know their paths."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response

from tonnage.cli import COLLECTED_AFTER
from tonnage.pages import Site
from tonnage.pages.scenario import FIRST
from tonnage.pages.templates import policy
from tonnage.render.png import can_draw
from tonnage.serve.answers import Answer, Answers, BusyError
from tonnage.serve.asked import is_tame, kind
from tonnage.serve.counts import Counts, resident_bytes
from tonnage.serve.edition import edition
from tonnage.serve.gate import Gate, Refusal, target_of, told
from tonnage.serve.headers import LASTING, NEVER, PASSING, matches
from tonnage.serve.settings import Settings, from_environment
from tonnage.version import __version__

BUSY = Refusal(503, "Too much is asked at this moment; try again in a few seconds.", (("retry-after", "5"),))
SLOW = BUSY._replace(words="This answer takes long. It is still being made, and will be kept: ask for it again in a few seconds.")
WILD = Refusal(400, "That pattern could take very long to match: let it have three repeats at most, each of a single character.", limit="pattern")


def from_workers() -> FastAPI:
    """The application of a worker, by the settings that the first process has left."""
    gc.set_threshold(COLLECTED_AFTER)
    return create_app(from_environment(os.environ))


def create_app(settings: Settings = Settings()) -> FastAPI:  # noqa: B008
    """The application."""
    worker = Worker(settings)
    app = FastAPI(title="Tonnage", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=worker.lifespan)
    app.add_middleware(Gate, settings=settings, counts=worker.counts, policy=policy())
    app.add_api_route("/healthz", worker.healthz, methods=["GET", "HEAD"])
    app.add_api_route("/metrics", worker.metrics, methods=["GET", "HEAD"])
    app.add_api_route("/{path:path}", worker.answer, methods=["GET", "HEAD"])
    return app


class Worker:
    """One process that answers."""

    def __init__(self, settings: Settings) -> None:
        self.answers = Answers(Site(origin=settings.origin, access=settings.access, cards=can_draw()), settings)
        self.counts = Counts(settings.counts)
        self.counts.put("tonnage_build_info", 1, version=__version__, edition=edition())

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Begin once the first answer is there; leave the counts at the end."""
        await self.answers.find("/fragment", FIRST)
        saving = asyncio.create_task(self._save())
        yield
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
        self._measure()
        self.answers.close()

    async def healthz(self) -> Response:
        """Whether this worker answers."""
        return Response("ok\n", 200, {"cache-control": NEVER}, "text/plain")

    async def metrics(self) -> Response:
        """The counts of all workers of this machine."""
        self._measure()
        return Response(self.counts.text(), 200, {"cache-control": NEVER}, "text/plain; version=0.0.4")

    async def answer(self, request: Request) -> Response:
        """Any page."""
        asked, _, query = target_of(request.scope).decode("utf-8", "replace").partition("?")
        if not is_tame(asked, query):
            return self._refused(asked, WILD)
        try:
            found, how = await self.answers.find(asked, query)
        except BusyError as error:
            return self._refused(asked, (SLOW if str(error) == "slow" else BUSY)._replace(limit=str(error)))
        if matches(request.headers.get("if-none-match", ""), found.etag):
            self.counts.add("tonnage_answers_total", how="unchanged")
            return Response(None, 304, _caching(found))
        self.counts.add("tonnage_answers_total", how=how)
        return _response(found, request.headers.get("accept-encoding", ""))

    def _refused(self, path: str, refused: Refusal) -> Response:
        self.counts.add("tonnage_refused_total", limit=refused.limit)
        body, type_ = told(kind(path), refused)
        return Response(body, refused.status, {"cache-control": NEVER, **dict(refused.headers)}, type_)

    def _measure(self) -> None:
        self.counts.put("tonnage_kept_bytes", self.answers.nbytes)
        self.counts.put("tonnage_waiting", self.answers.waiting)
        self.counts.put("tonnage_worker_resident_bytes", resident_bytes(), worker=str(os.getpid()))
        self.counts.save()

    async def _save(self) -> None:
        """Leave counts for the other workers, once a second."""
        while True:
            await asyncio.sleep(1)
            self._measure()


def _caching(found: Answer) -> dict[str, str]:
    tag = {"etag": f'W/"{found.etag}"'} if found.etag else {}
    return {"cache-control": LASTING if found.lasting else PASSING, "vary": "accept-encoding", **tag}


def _response(found: Answer, encodings: str) -> Response:
    if found.packed and "gzip" in encodings:
        return Response(found.packed, found.status, {**_caching(found), "content-encoding": "gzip"}, found.type)
    return Response(found.body, found.status, _caching(found), found.type)
