"""The application: one route, since the pages know their paths."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request, Response

from tonnage.pages import Site
from tonnage.pages.scenario import FIRST
from tonnage.pages.templates import policy
from tonnage.serve.answers import Answer, Answers, BusyError
from tonnage.serve.counts import Counts, resident_bytes
from tonnage.serve.edition import edition
from tonnage.serve.gate import Gate, Refusal, target_of, told
from tonnage.serve.asked import kind
from tonnage.serve.headers import LASTING, NEVER, PASSING, matches
from tonnage.serve.settings import Settings, from_environment
from tonnage.version import __version__

BUSY = Refusal(503, "Too much is asked at this moment; try again in a few seconds.")


def from_workers() -> FastAPI:
    """The application of a worker, by the settings that the first process has left."""
    return create_app(from_environment(os.environ))


def create_app(settings: Settings = Settings()) -> FastAPI:  # noqa: B008
    """The application."""
    answers = Answers(Site(origin=settings.origin, access=settings.access), settings)
    counts = Counts(settings.counts)
    counts.put("tonnage_build_info", 1, version=__version__, edition=edition())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await answers.find("/fragment", FIRST)
        saving = asyncio.create_task(_save(counts, answers))
        yield
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
        _measure(counts, answers)
        answers.close()

    app = FastAPI(title="Tonnage", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.add_middleware(Gate, settings=settings, counts=counts, policy=policy())

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response("ok\n", 200, {"cache-control": NEVER}, "text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        _measure(counts, answers)
        return Response(counts.text(), 200, {"cache-control": NEVER}, "text/plain; version=0.0.4")

    @app.api_route("/{path:path}", methods=["GET", "HEAD"])
    async def answer(request: Request, path: str) -> Response:
        asked, _, query = target_of(request.scope).decode("utf-8", "replace").partition("?")
        try:
            found, how = await answers.find(asked, query)
        except BusyError as error:
            counts.add("tonnage_refused_total", limit=str(error))
            body, type_ = told(kind(asked), BUSY)
            return Response(body, BUSY.status, {"cache-control": NEVER, "retry-after": "5"}, type_)
        if matches(request.headers.get("if-none-match", ""), found.etag):
            counts.add("tonnage_answers_total", how="unchanged")
            return Response(None, 304, _caching(found))
        counts.add("tonnage_answers_total", how=how)
        return _response(found, request.headers.get("accept-encoding", ""))

    return app


def _caching(found: Answer) -> dict[str, str]:
    tag = {"etag": f'W/"{found.etag}"'} if found.etag else {}
    return {"cache-control": LASTING if found.lasting else PASSING, "vary": "accept-encoding", **tag}


def _response(found: Answer, encodings: str) -> Response:
    if found.packed and "gzip" in encodings:
        return Response(found.packed, found.status, {**_caching(found), "content-encoding": "gzip"}, found.type)
    return Response(found.body, found.status, _caching(found), found.type)


def _measure(counts: Counts, answers: Answers) -> None:
    counts.put("tonnage_kept_bytes", answers.nbytes)
    counts.put("tonnage_waiting", answers.waiting)
    counts.put("tonnage_worker_resident_bytes", resident_bytes(), worker=str(os.getpid()))
    counts.save()


async def _save(counts: Counts, answers: Answers) -> None:
    """Leave counts for the other workers, once a second."""
    while True:
        await asyncio.sleep(1)
        _measure(counts, answers)
