"""One budget of requests to TMDB for all processes of this service."""

import asyncio
from collections import deque

from pymongo import ReturnDocument

from catalog.storage.schema import BUDGETS
from chassis.mongo import MongoDatabase

# How far ahead a process books, in seconds: longer saves round trips, shorter lets others in between.
_BOOKED_SECONDS = 0.25
# Milliseconds since 1970 instead of a date: not every engine can calculate with one.
_NOW = {"$toLong": "$$NOW"}


class RateBudget:
    """Spreads requests evenly over time, as the clock of the database counts it.

    The document holds when the next request may go out; booking moves that on. Nobody is ever allowed a burst,
    so that the limit holds over any span of time and any number of processes.
    """

    def __init__(self, database: MongoDatabase, requests_per_second: float) -> None:
        self._budgets = database[BUDGETS]
        self._interval = 1.0 / requests_per_second
        self._booked: deque[float] = deque()
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def acquire(self) -> None:
        """Returns when one more request may be sent."""
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            async with self._lock:
                if not self._booked:
                    await self._book(loop.time())
                slot = self._booked.popleft()
        finally:
            self._waiting -= 1
        await asyncio.sleep(max(0.0, slot - loop.time()))

    async def pause(self, seconds: float) -> None:
        """Lets no process send anything for `seconds`."""
        self._booked.clear()
        until = {"$add": [_NOW, round(seconds * 1000)]}
        await self._budgets.update_one({"_id": "tmdb"}, [{"$set": {"nextAt": {"$max": ["$nextAt", until]}}}])

    async def _book(self, now: float) -> None:
        # No more than are wanted at this moment: a slot that nobody uses is lost for the others.
        wanted = max(1, min(self._waiting, round(_BOOKED_SECONDS / self._interval)))
        document = await self._budgets.find_one_and_update(
            {"_id": "tmdb"},
            [
                {"$set": {"at": _NOW, "first": {"$max": ["$nextAt", _NOW]}}},
                {"$set": {"nextAt": {"$add": ["$first", wanted * self._interval * 1000]}}},
            ],
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            raise RuntimeError("the budget of requests is missing: the database is not migrated")
        first = now + (document["first"] - document["at"]) / 1000
        self._booked.extend(first + index * self._interval for index in range(wanted))
