"""The application: TMDB's endpoints, the simulator's own ones and health."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tmdb_simulator.admin import Admin
from tmdb_simulator.api import TmdbApi
from tmdb_simulator.catalogue import Catalogue
from tmdb_simulator.faults import FaultRegistry
from tmdb_simulator.films import Film
from tmdb_simulator.request_log import RequestLog

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_app(films: Mapping[int, Film], token: str | None = None) -> Starlette:
    """The ASGI application over these films; `token` None accepts any that is not empty.

    Its `state.closing` is an event for the server to set when it is told to stop.
    """
    catalogue, faults, log = Catalogue(films), FaultRegistry(), RequestLog()
    api = TmdbApi(catalogue, faults, log, token)

    async def livez(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        # Films are loaded before the port opens, so whoever gets an answer can be served.
        return JSONResponse({"status": "ready", "films": len(catalogue)})

    app = Starlette(
        routes=[
            # First and without alternatives: every path and method below /3/ is TMDB's.
            Route("/3/{path:path}", api.handle, methods=_METHODS),
            Route("/livez", livez),
            Route("/readyz", readyz),
            *Admin(catalogue, faults, log).routes(),
        ]
    )
    app.state.closing = api.closing
    return app
