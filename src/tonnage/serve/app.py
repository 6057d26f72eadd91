"""The application: one route, since the pages know their paths."""

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from tonnage.pages import Site, reply
from tonnage.pages.templates import policy
from tonnage.remote.access import PUBLIC


def create_app(site: Site = Site(access=PUBLIC)) -> FastAPI:  # noqa: B008
    """The application for a site."""
    app = FastAPI(title="Tonnage", docs_url=None, redoc_url=None, openapi_url=None)

    @app.api_route("/{path:path}", methods=["GET", "HEAD"])
    async def answer(request: Request, path: str) -> Response:
        found = await run_in_threadpool(reply, request.url.path, request.url.query, site)
        headers = {"content-security-policy": policy(), "access-control-allow-origin": "*"}
        return Response(found.body, found.status, headers, found.type)

    return app
