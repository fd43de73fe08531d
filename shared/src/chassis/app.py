"""The FastAPI application of a service: strict routes, problem documents, ids, metrics and health."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware

from chassis.metrics import HttpMetrics
from chassis.middleware import RequestMiddleware
from chassis.operations import Check, operations_router
from chassis.problems import install_problem_handlers
from chassis.strict import StrictRoute


def _operation_id(route: APIRoute) -> str:
    first, *rest = route.name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def service_router(**options: Any) -> APIRouter:
    """A router whose routes are strict; every router of a service is made by this."""
    return APIRouter(route_class=StrictRoute, **options)


def create_app(  # noqa: PLR0913 - what an application is made of
    *,
    title: str,
    routers: Sequence[APIRouter],
    checks: Mapping[str, Check],
    registry: CollectorRegistry,
    lifespan: Any = None,
    middleware: Sequence[Middleware] = (),
) -> FastAPI:
    """An application with `routers` and the operations endpoints.

    `checks` are what readiness looks at; `lifespan` yields the state that dependencies read from
    `request.state` (it must hold `verifier` when a route asks for a principal). `middleware` works inside of the
    chassis's own, which gives ids, counts and logs, and outside of routing.
    """
    app = FastAPI(
        title=title,
        lifespan=lifespan,
        middleware=middleware,
        # The chassis has its own; FastAPI's would look for a provider at every request and repeat every span.
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.include_router(operations_router(registry, checks))
    for router in routers:
        app.include_router(router)
    install_problem_handlers(app)
    app.add_middleware(RequestMiddleware, metrics=HttpMetrics(registry))
    return app
