"""The gateway's parts, put together: what every connection and exchange refers to."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from starlette.types import ASGIApp

from gateway.access_log import AccessLog, Answered
from gateway.admission import Admission
from gateway.answer import DateLine
from gateway.batch import Batch
from gateway.config import GatewaySettings
from gateway.headers import TrustedProxies
from gateway.local import Asking, serve
from gateway.metrics import RequestCounts
from gateway.routing import UNMATCHED, Route
from gateway.upstream.pool import UpstreamPool

_log = logging.getLogger(__name__)

# Deadlines are looked at this often: one timer for everything instead of one for each request.
_SWEEP_SECONDS = 0.1


class Sweepable(Protocol):
    """A client's connection, as far as the clock is concerned."""

    def sweep(self, now: float) -> None: ...


class Finished(Answered, Protocol):
    """An exchange that is over, as far as it is counted."""

    route: Route
    method: bytes
    started: float


class Gateway:
    """Shared by all exchanges of this process."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        settings: GatewaySettings,
        admission: Admission,
        pools: Mapping[str, UpstreamPool],
        local: ASGIApp,
        access_log: AccessLog | None,
        batch: Batch,
    ) -> None:
        self.settings = settings
        self.batch = batch
        self.admission = admission
        self.pools = pools
        self.counts = RequestCounts()
        self.date = DateLine()
        self.proxies = TrustedProxies(settings.trusted_proxies)
        self.cors_origins = settings.allowed_origins()
        # Not the loop's own time, which uvloop rounds to milliseconds and moves once an iteration.
        self.now: Callable[[], float] = time.monotonic
        self.connections: Callable[[], list[Sweepable]] = list
        self.is_draining = False
        self._local = local
        self._access_log = access_log
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something that must wait: a signature check, a page of our own."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def serve_local(self, exchange: Asking) -> None:
        """Answer with one of the gateway's own pages."""
        await serve(self._local, exchange)

    def record(self, exchange: Finished) -> None:
        """Count and log a finished exchange."""
        route = exchange.route
        seconds = self.now() - exchange.started
        template = route.template
        method = route.method if route is UNMATCHED else exchange.method.decode()
        self.counts.add(method, template, exchange.status, seconds)
        if self._access_log is not None and template not in ("/livez", "/readyz"):
            self._access_log.add(exchange, method, template, seconds)

    async def sweep(self) -> None:
        """Act on deadlines for ever."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self.now()
            try:
                for connection in self.connections():
                    connection.sweep(now)
                for pool in self.pools.values():
                    pool.sweep(now)
                if self._access_log is not None:
                    self._access_log.flush()
            except Exception:  # noqa: BLE001 - without the clock, nothing would ever be given up
                _log.exception("sweep failed")

    async def refresh_addresses(self) -> None:
        """Look up the services' names for ever."""
        while True:
            await asyncio.sleep(self.settings.resolve_seconds)
            for pool in self.pools.values():
                await pool.refresh_addresses()

    async def aclose(self) -> None:
        """Close the connections to the services and write the rest of the log."""
        for pool in self.pools.values():
            await pool.aclose()
        if self._access_log is not None:
            await self._access_log.aclose()
