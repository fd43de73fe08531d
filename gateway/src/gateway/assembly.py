"""Builds the gateway's parts from its settings: the composition root."""

import importlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from chassis import tracing
from chassis.metrics import new_registry
from chassis.operations import Check
from chassis.process import Task
from chassis.tokens import AccessTokenVerifier, JwksSource, KeySet
from gateway import routes
from gateway.access_log import AccessLog
from gateway.admission import Admission
from gateway.app import Gateway
from gateway.batch import Batch
from gateway.config import GatewaySettings
from gateway.docs import Pages
from gateway.documentation import Documentation
from gateway.exchange import Exchange
from gateway.fetch import FetchError, fetch_object, first_object
from gateway.metrics import GatewayCollector
from gateway.rate_limit import Policy, RateLimiter
from gateway.revocations import RevocationFeed, Revocations
from gateway.routing import RouteTable
from gateway.upstream.balancer import Balancer
from gateway.upstream.breaker import CircuitBreaker, RetryBudget
from gateway.upstream.pool import PoolLimits, UpstreamPool

_log = logging.getLogger(__name__)

_MAX_KEY_SET_BYTES = 65536


class NotReadyError(Exception):
    """Something without which nobody can be let in is not there yet."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """The gateway and what keeps it informed. `tasks` are to be run for ever beside it."""

    gateway: Gateway
    exchange_class: type[Exchange]
    revocations: Revocations
    registry: CollectorRegistry
    checks: Mapping[str, Check]
    tasks: Mapping[str, Task]


def route_table(settings: GatewaySettings) -> RouteTable:
    """The table of `gateway.routes`. Raises `InvalidRouteTableError`."""
    return RouteTable(routes.ROUTES, frozenset(settings.upstreams()))


def reload_routes(gateway: Gateway) -> None:
    """Read the route table again; one that cannot be used leaves the present one in force."""
    try:
        importlib.reload(routes)
        gateway.admission.table = route_table(gateway.settings)
    except Exception:  # noqa: BLE001 - whatever is wrong with the file
        _log.exception("route table not reloaded, the present one stays")
    else:
        _log.info("route table reloaded", extra={"routes": len(gateway.admission.table.routes)})


async def _pool(name: str, urls: list[str], settings: GatewaySettings, batch: Batch) -> UpstreamPool:
    balancer = Balancer(name, urls)
    await balancer.refresh()
    return UpstreamPool(
        name,
        balancer,
        CircuitBreaker(settings.breaker_failures, settings.breaker_open_seconds, settings.breaker_max_open_seconds),
        RetryBudget(settings.retry_share, settings.retry_per_second),
        PoolLimits(
            settings.upstream_max_active,
            settings.upstream_max_waiting,
            settings.connect_seconds,
            settings.upstream_idle_seconds,
        ),
        batch,
    )


def _admission(settings: GatewaySettings, verifier: AccessTokenVerifier, revocations: Revocations) -> Admission:
    return Admission(
        route_table(settings),
        verifier,
        revocations,
        per_address=RateLimiter(Policy("address", settings.address_rate, settings.address_burst)),
        per_user=RateLimiter(Policy("user", settings.user_rate, settings.user_burst)),
        credentials=RateLimiter(Policy("credentials", settings.credentials_rate, settings.credentials_burst)),
    )


def _exchange_class() -> type[Exchange]:
    if not tracing.is_recording():
        return Exchange
    from gateway.tracing import TracedExchange  # noqa: PLC0415 - most gateways never need it

    return TracedExchange


def _key_source(urls: Sequence[str]) -> JwksSource:
    async def fetch(url: str) -> dict[str, Any]:
        document = await fetch_object(url, seconds=2.0, max_bytes=_MAX_KEY_SET_BYTES)
        if not isinstance(document.get("keys"), list):
            raise FetchError("no key set")
        return document

    async def source() -> Mapping[str, Any]:
        return await first_object(urls, fetch)

    return source


@asynccontextmanager
async def assemble(settings: GatewaySettings) -> AsyncIterator[Assembly]:
    """All parts, closed at the end."""
    keys = KeySet(_key_source(settings.jwks_addresses()))
    verifier = AccessTokenVerifier(keys, issuer=settings.token_issuer, audience=settings.token_audience)
    revocations = Revocations()
    feed = RevocationFeed(
        revocations,
        verifier,
        broker_url=settings.broker_url,
        identity_urls=settings.identity_urls,
        internal_token=settings.internal_token,
    )
    documentation = Documentation(settings.upstreams())
    admission = _admission(settings, verifier, revocations)
    batch = Batch()
    pools = {name: await _pool(name, urls, settings, batch) for name, urls in settings.upstreams().items()}

    async def keys_known() -> None:
        if not keys.is_loaded:
            raise NotReadyError("no public key has been fetched yet")

    async def revocations_known() -> None:
        if not revocations.is_informed:
            raise NotReadyError("the list of ended sessions has not been read yet")

    async def not_draining() -> None:
        if gateway.is_draining:
            raise NotReadyError("shutting down")

    checks = {"keys": keys_known, "revocations": revocations_known, "draining": not_draining}
    pages = Pages(documentation, lambda: admission.table.routes, checks)
    access_log = AccessLog() if settings.access_log else None
    gateway = Gateway(settings, admission, pools, pages.app(), access_log, batch)
    registry = new_registry()
    registry.register(
        GatewayCollector(
            gateway.counts,
            pools,
            [admission.per_address, admission.per_user, admission.credentials],
            revocations,
            feed,
            verifier,
            lambda: len(gateway.connections()),
            gateway.now,
        )
    )
    tasks = {
        "keys": keys.keep_fresh,
        "revocation events": feed.listen,
        "revocation snapshots": feed.poll,
        "documentation": documentation.keep_fresh,
        "addresses": gateway.refresh_addresses,
    }
    try:
        yield Assembly(gateway, _exchange_class(), revocations, registry, checks, tasks)
    finally:
        await gateway.aclose()
