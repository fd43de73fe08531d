"""The API: composition of the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.middleware import Middleware

from catalog.api import genres, movies, sync
from catalog.api.remembered_pages import RememberedPages
from catalog.clients.tmdb.client import Patience
from catalog.config import Settings
from catalog.factory import Resources, create_services
from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.metrics import new_registry
from chassis.tokens import AccessTokenVerifier, KeySet, jwks_over_http

# A person waits for a movie that is read through.
_LOOKUP_TRIES = 2
_LOOKUP_SECONDS = 3.0


def create_catalog_app(settings: Settings) -> FastAPI:
    """The application; everything that it holds is made and closed in its lifespan."""
    holder: dict[str, Resources] = {}

    async def database_is_ready() -> None:
        await holder["resources"].require_schema()

    async def clock_is_right() -> None:
        await require_agreement(holder["resources"].mongo.now)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        patience = Patience(tries=_LOOKUP_TRIES, seconds=min(_LOOKUP_SECONDS, settings.tmdb_timeout_seconds))
        resources = holder["resources"] = Resources(settings, patience)
        services = create_services(resources)
        async with httpx.AsyncClient(trust_env=False) as client:
            keys = KeySet(jwks_over_http(client, settings.jwks_urls))
            refreshing_keys = asyncio.create_task(keys.keep_fresh())
            watching_store = asyncio.create_task(resources.mongo.watch())
            stopping = asyncio.Event()
            following = asyncio.create_task(services.view.keep_fresh(stopping))
            try:
                yield {
                    "verifier": AccessTokenVerifier(
                        keys, issuer=settings.token_issuer, audience=settings.token_audience
                    ),
                    "internal_token": settings.internal_token.get_secret_value(),
                    "services": services,
                }
            finally:
                stopping.set()
                refreshing_keys.cancel()
                watching_store.cancel()
                await asyncio.gather(following, refreshing_keys, watching_store, return_exceptions=True)
                await resources.aclose()

    return create_app(
        title="catalog-service",
        # The busiest first: routes are tried in turn.
        routers=[movies.router, genres.router, sync.router],
        checks={"database": database_is_ready, "clock": clock_is_right},
        registry=new_registry(),
        lifespan=lifespan,
        middleware=[Middleware(RememberedPages, path=movies.LIST_PATH)],
    )
