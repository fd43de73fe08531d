"""The HTTP process of identity-service."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import FastAPI

from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.metrics import new_registry
from chassis.migrations import require_schema
from identity.api import internal, keys, sessions, users
from identity.config import Settings
from identity.factory import build_resources
from identity.migrations import MIGRATIONS


def build_app(settings: Settings) -> FastAPI:
    """The application; its lifespan owns everything that has to be closed."""
    registry = new_registry()
    resources = build_resources(settings, registry)

    async def schema_is_current() -> None:
        await require_schema(resources.database.engine, MIGRATIONS)

    async def has_signing_keys() -> None:
        await resources.signing_keys.jwks()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        refreshing = asyncio.create_task(resources.key_set.keep_fresh(), name="signing-keys")
        await resources.hasher.warm_up()
        try:
            yield {
                "resources": resources,
                "verifier": resources.verifier,
                "internal_token": settings.internal_token.get_secret_value(),
            }
        finally:
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)
            await resources.aclose()

    return create_app(
        title="identity-service",
        routers=[users.public, users.router, sessions.public, sessions.router, keys.router, internal.router],
        checks={
            "database": schema_is_current,
            "clock": partial(require_agreement, resources.database.now),
            "signing-keys": has_signing_keys,
        },
        registry=registry,
        lifespan=lifespan,
    )
