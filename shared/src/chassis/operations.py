"""The endpoints that operators and orchestrators use: /livez, /readyz and /metrics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis import metrics
from chassis.deadlines import within

if TYPE_CHECKING:
    from fastapi import APIRouter

Endpoint = Callable[[Request], Awaitable[Response]]
Check = Callable[[], Awaitable[None]]
"""Raises when the thing it looks at is not usable; the exception's text is shown to operators."""

_log = logging.getLogger(__name__)
_CHECK_SECONDS = 3.0


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """The outcome of each check: "ok" or what is wrong."""

    async def outcome(name: str, check: Check) -> str:
        try:
            await within(_CHECK_SECONDS, check())
        except Exception as error:  # noqa: BLE001 - any failure of a check means "not ready", and says which
            _log.warning("not ready", extra={"check": name, "reason": f"{type(error).__name__}: {error}"})
            return f"{type(error).__name__}"
        return "ok"

    results = await asyncio.gather(*(outcome(name, check) for name, check in checks.items()))
    return dict(zip(checks, results, strict=True))


def _endpoints(registry: CollectorRegistry, checks: Mapping[str, Check]) -> Mapping[str, Endpoint]:
    """Liveness looks at nothing but this process; readiness runs `checks` (its own database, not its peers)."""

    async def live(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_request: Request) -> Response:
        results = await run_checks(checks)
        healthy = all(result == "ok" for result in results.values())
        return JSONResponse({"status": "ok" if healthy else "not ready", "checks": results}, 200 if healthy else 503)

    async def show_metrics(_request: Request) -> Response:
        return Response(metrics.render(registry), headers={"content-type": metrics.CONTENT_TYPE})

    return {"/livez": live, "/readyz": ready, "/metrics": show_metrics}


def operations_router(registry: CollectorRegistry, checks: Mapping[str, Check]) -> "APIRouter":
    """The endpoints, to be included in a FastAPI application."""
    from fastapi import APIRouter  # noqa: PLC0415 - costs memory, and the gateway has no use for it

    router = APIRouter(include_in_schema=False)
    for path, endpoint in _endpoints(registry, checks).items():
        router.add_api_route(path, endpoint, response_model=None)
    return router


def operations_app(registry: CollectorRegistry, checks: Mapping[str, Check]) -> Starlette:
    """The endpoints alone, as an application of their own."""
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in _endpoints(registry, checks).items()])
    app.router.redirect_slashes = False
    return app
