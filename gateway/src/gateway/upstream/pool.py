"""The connections to one service: reused newest first, bounded in number, with a short line when all are busy."""

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from gateway.batch import Batch
from gateway.errors import UpstreamBusyError, UpstreamUnavailableError
from gateway.upstream.balancer import Balancer, Endpoint
from gateway.upstream.breaker import CircuitBreaker, RetryBudget
from gateway.upstream.connection import Failure, UpstreamConnection

_log = logging.getLogger(__name__)


class Waiter(Protocol):
    """An exchange that needs a connection, until it `is_finished`."""

    is_finished: bool

    def connected(self, connection: UpstreamConnection) -> None: ...
    def not_connected(self, endpoint: Endpoint) -> None: ...


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """`max_active` exchanges at a time, `max_waiting` more in line; times in seconds."""

    max_active: int
    max_waiting: int
    connect_seconds: float
    idle_seconds: float


class UpstreamPool:
    """One service as the gateway sees it."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        name: str,
        balancer: Balancer,
        breaker: CircuitBreaker,
        budget: RetryBudget,
        limits: PoolLimits,
        batch: Batch,
    ) -> None:
        self.name = name
        self.balancer = balancer
        self.breaker = breaker
        self.budget = budget
        self._limits = limits
        self._batch = batch
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[Waiter] = deque()
        self._idle: defaultdict[Endpoint, deque[UpstreamConnection]] = defaultdict(deque)
        self.active = 0
        self.retries = 0
        self.failures = dict.fromkeys(Failure, 0)

    @property
    def waiting(self) -> int:
        """How many exchanges stand in line, abandoned ones that have not been passed over included."""
        return len(self._waiting)

    @property
    def idle(self) -> int:
        return sum(map(len, self._idle.values()))

    def acquire(
        self, waiter: Waiter, now: float, *, avoid: Collection[Endpoint] = (), fresh: bool = False
    ) -> UpstreamConnection | None:
        """A connection now, or None when `waiter` will be called later.

        `fresh` asks for a new connection, for a replay after an old one turned out to be dead. Raises
        `UpstreamUnavailableError` and `UpstreamBusyError`; then nothing has been sent.
        """
        if not self.breaker.allows(now):
            raise UpstreamUnavailableError(retry_after=self.breaker.retry_after(now))
        if self.active >= self._limits.max_active:
            if len(self._waiting) >= self._limits.max_waiting:
                raise UpstreamBusyError
            self._waiting.append(waiter)
            return None
        endpoint = self.balancer.pick(now, avoid)
        if endpoint is None:
            raise UpstreamUnavailableError
        self.active += 1
        return self._connection(waiter, endpoint, fresh=fresh)

    def _connection(self, waiter: Waiter, endpoint: Endpoint, *, fresh: bool = False) -> UpstreamConnection | None:
        idle = self._idle[endpoint]
        while idle and not fresh:
            connection = idle.pop()
            if connection.is_usable:
                return connection
        task = self._loop.create_task(self._connect(waiter, endpoint))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return None

    async def _connect(self, waiter: Waiter, endpoint: Endpoint) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self, endpoint, self._batch), endpoint.host, endpoint.port
                )
        except (OSError, TimeoutError) as error:
            self.active -= 1
            self.failures[Failure.UNREACHABLE] += 1
            endpoint.unreachable(time.monotonic())
            _log.warning(
                "upstream not reachable",
                extra={"upstream": self.name, "address": endpoint.host, "port": endpoint.port, "reason": str(error)},
            )
            if not waiter.is_finished:
                waiter.not_connected(endpoint)
            self._serve_line()
            return
        if waiter.is_finished:
            self.done(connection, reusable=True)
        elif connection.is_usable:
            waiter.connected(connection)
        else:
            self.done(connection, reusable=False)
            waiter.not_connected(endpoint)

    def done(self, connection: UpstreamConnection, *, reusable: bool) -> None:
        """An exchange has let `connection` go."""
        self.active -= 1
        if reusable and connection.is_usable and not connection.endpoint.is_retired:
            connection.idle_since = time.monotonic()
            self._idle[connection.endpoint].append(connection)
        else:
            connection.close()
        if self._waiting:
            self._serve_line()

    def _serve_line(self) -> None:
        while self._waiting and self.active < self._limits.max_active:
            waiter = self._waiting.popleft()
            if waiter.is_finished:
                continue
            endpoint = self.balancer.pick(time.monotonic())
            if endpoint is None:
                continue  # its own deadline answers it
            self.active += 1
            if (connection := self._connection(waiter, endpoint)) is not None:
                waiter.connected(connection)

    def failed(self, connection: UpstreamConnection | None, failure: Failure, now: float) -> None:
        """An exchange has failed for good after its request was sent."""
        self.failures[failure] += 1
        self.breaker.failure(now)
        if connection is not None:
            connection.endpoint.broke(now)

    def lost(self, connection: UpstreamConnection) -> None:
        """The connection is gone; if it was idle it must not be handed out."""
        idle = self._idle.get(connection.endpoint)
        if idle is not None and connection in idle:
            idle.remove(connection)

    async def refresh_addresses(self) -> None:
        """Look the service's names up again; nothing is kept for an address that is gone."""
        await self.balancer.refresh()
        for endpoint in [endpoint for endpoint in self._idle if endpoint.is_retired]:
            self._close_all(self._idle.pop(endpoint))

    @staticmethod
    def _close_all(idle: "deque[UpstreamConnection]") -> None:
        while idle:
            idle.pop().close()

    def sweep(self, now: float) -> None:
        """Close connections that have been idle for too long, before the service does."""
        for idle in self._idle.values():
            while idle and idle[0].idle_since < now - self._limits.idle_seconds:
                idle.popleft().close()

    async def aclose(self) -> None:
        """Close what is idle and stop connecting."""
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for idle in self._idle.values():
            self._close_all(idle)
