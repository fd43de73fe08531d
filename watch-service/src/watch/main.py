"""The HTTP application of watch-service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import Gauge

from chassis.app import create_app as create_service_app
from chassis.clock import Clock, require_agreement, utc_now
from chassis.metrics import new_registry
from chassis.tokens import AccessTokenVerifier, KeySet, jwks_over_http
from watch.api import reports, watched
from watch.config import Settings
from watch.factory import Factory
from watch.storage.schema import require_schema


def create_app(settings: Settings, *, clock: Clock = utc_now) -> FastAPI:
    """The application; its lifespan makes and closes everything that it uses."""
    made: list[Factory] = []
    registry = new_registry()
    breaker = Gauge("peer_breaker_state", "0 closed, 1 half-open, 2 open.", ("peer",), registry=registry)

    async def database() -> None:
        await require_schema(made[0].mongo.database)

    async def clock_is_right() -> None:
        await require_agreement(made[0].mongo.now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        factory = Factory(settings, clock=clock)
        made[:] = [factory]
        breaker.labels("catalog").set_function(lambda: factory.breaker.state)
        async with httpx.AsyncClient(trust_env=False) as client:
            keys = KeySet(jwks_over_http(client, settings.jwks_urls))
            beside = [
                asyncio.create_task(keys.keep_fresh(), name="jwks"),
                asyncio.create_task(factory.session_leases.keep_ending_expired(), name="sessions"),
                asyncio.create_task(factory.mongo.watch(), name="store"),
            ]
            try:
                yield {
                    "factory": factory,
                    "verifier": AccessTokenVerifier(
                        keys, issuer=settings.token_issuer, audience=settings.token_audience
                    ),
                    "internal_token": settings.internal_token.get_secret_value(),
                }
            finally:
                for task in beside:
                    task.cancel()
                await factory.aclose()

    return create_service_app(
        title="watch-service",
        routers=[watched.router, reports.router],
        checks={"database": database, "clock": clock_is_right},
        registry=registry,
        lifespan=lifespan,
    )
