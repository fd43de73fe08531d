"""The API process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from fastapi import FastAPI

from chassis.app import create_app as create_service_app
from chassis.clock import require_agreement
from chassis.metrics import new_registry
from chassis.migrations import require_schema
from chassis.tokens import AccessTokenVerifier, KeySet, jwks_over_http
from subscription.api.entitlements import router as entitlements
from subscription.api.internal import router as internal
from subscription.api.package_versions import router as package_versions
from subscription.api.packages import router as packages
from subscription.api.subscriptions import router as subscriptions
from subscription.config import Settings
from subscription.factory import Resources, build_resources
from subscription.migrations import SCRIPTS

TITLE = "subscription-service"


def create_app(settings: Settings, *, resources: Resources | None = None) -> FastAPI:
    """The application; `resources` are built from `settings` unless given."""
    held = resources or build_resources(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with httpx.AsyncClient(trust_env=False) as client:
            keys = KeySet(jwks_over_http(client, settings.jwks_urls))
            refreshing = asyncio.create_task(keys.keep_fresh())
            try:
                yield {
                    "verifier": AccessTokenVerifier(
                        keys, issuer=settings.token_issuer, audience=settings.token_audience
                    ),
                    "internal_token": settings.internal_token.get_secret_value(),
                    "resources": held,
                }
            finally:
                refreshing.cancel()
                await held.aclose()

    return create_service_app(
        title=TITLE,
        routers=[packages, package_versions, subscriptions, entitlements, internal],
        checks={
            "database": lambda: require_schema(held.database.engine, SCRIPTS),
            "clock": lambda: require_agreement(held.database.now),
        },
        registry=new_registry(),
        lifespan=lifespan,
    )
