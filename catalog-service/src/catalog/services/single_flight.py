"""Doing a thing once for many who ask for it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SingleFlight(Generic[Key, Value]):
    """Joins callers to a call under way for the same key; its outcome, or its failure, is everybody's.

    The work goes on when a caller leaves, because the others wait for it.
    """

    def __init__(self) -> None:
        self._flights: dict[Key, asyncio.Task[Value]] = {}

    async def do(self, key: Key, work: Callable[[], Awaitable[Value]]) -> Value:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._start(key, work)
        return await asyncio.shield(flight)

    async def do_afresh(self, key: Key, work: Callable[[], Awaitable[Value]]) -> Value:
        """As `do`, but never with the outcome of work that had begun before this call."""
        earlier = self._flights.get(key)
        if earlier is None:
            return await self.do(key, work)
        await asyncio.wait([earlier])
        # All who waited for the same earlier flight join one later flight: the first of them starts it.
        return await self.do(key, work)

    def _start(self, key: Key, work: Callable[[], Awaitable[Value]]) -> asyncio.Task[Value]:
        async def run() -> Value:
            return await work()

        flight = asyncio.create_task(run())
        self._flights[key] = flight

        def land(task: asyncio.Task[Value]) -> None:
            if self._flights.get(key) is task:
                del self._flights[key]
            # A failure that every caller has left is nobody's to see.
            if not task.cancelled():
                task.exception()

        flight.add_done_callback(land)
        return flight
