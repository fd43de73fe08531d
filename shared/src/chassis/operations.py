"""The endpoints that operators and orchestrators use: /livez, /readyz and /metrics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from chassis import metrics
from chassis.deadlines import within

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


def operations_router(registry: CollectorRegistry, checks: Mapping[str, Check]) -> APIRouter:
    """Liveness looks at nothing but this process; readiness runs `checks` (its own database, not its peers)."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def live() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def ready() -> JSONResponse:
        results = await run_checks(checks)
        healthy = all(result == "ok" for result in results.values())
        return JSONResponse({"status": "ok" if healthy else "not ready", "checks": results}, 200 if healthy else 503)

    @router.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics.render(registry), headers={"content-type": metrics.CONTENT_TYPE})

    return router
