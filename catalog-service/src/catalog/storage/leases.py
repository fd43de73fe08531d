"""Leases and fences: one worker at a time does a job, and one that was late cannot write."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from catalog.storage.schema import FENCES, LEASES
from chassis.mongo import MongoDatabase

Result = TypeVar("Result")


class LeaseLostError(Exception):
    """Somebody else has taken over: whatever was about to be written is not."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lease that we hold; `fence` is higher than that of every holder before."""

    name: str
    fence: int


class LeaseRepository:
    """Leases timed by the clock of the database, so that the clocks of the workers do not matter."""

    def __init__(self, database: MongoDatabase) -> None:
        self._leases = database[LEASES]

    async def acquire(self, name: str, owner: str, milliseconds: int) -> Held | None:
        """Take the lease when it is free or has run out, or extend it when it is ours; None when it is another's."""
        ours = {"$eq": ["$owner", owner]}
        # Milliseconds since 1970 instead of a date: not every engine can add to one. An absent value compares as
        # less than any, so that a lease never taken is free.
        now = {"$toLong": "$$NOW"}
        free = {"$lte": ["$expiresAt", now]}
        document = await self._leases.find_one_and_update(
            {"_id": name},
            [
                {"$set": {"taken": {"$and": [free, {"$not": [ours]}]}, "kept": ours}},
                {
                    "$set": {
                        "owner": {"$cond": ["$taken", owner, "$owner"]},
                        "fence": {"$cond": ["$taken", {"$add": ["$fence", 1]}, "$fence"]},
                        "expiresAt": {
                            "$cond": [{"$or": ["$taken", "$kept"]}, {"$add": [now, milliseconds]}, "$expiresAt"]
                        },
                    }
                },
                {"$unset": ["taken", "kept"]},
            ],
            return_document=ReturnDocument.AFTER,
        )
        if document is None or document.get("owner") != owner:
            return None
        return Held(name, int(document["fence"]))

    async def release(self, held: Held, owner: str) -> None:
        """Give the lease back, so that the next holder need not wait for its end."""
        await self._leases.update_one(
            {"_id": held.name, "owner": owner, "fence": held.fence},
            {"$set": {"owner": None}, "$unset": {"expiresAt": ""}},
        )


class FencedWriter:
    """Writes that are refused once a later holder has begun: each is a transaction that reads the job's fence."""

    def __init__(self, database: MongoDatabase, job: str, fence: int) -> None:
        self._database = database
        self._job = job
        self.fence = fence

    async def begin(self) -> None:
        """Put our fence up. Raises `LeaseLostError` when a later holder has done so already."""
        result = await self._database[FENCES].update_one(
            {"_id": self._job, "fence": {"$lte": self.fence}}, {"$set": {"fence": self.fence}}
        )
        if not result.matched_count:
            raise LeaseLostError(self._job)

    async def write(self, work: Callable[[AsyncClientSession], Awaitable[Result]]) -> Result:
        """Do `work` in a transaction, all or nothing; it may run more than once.

        Raises `LeaseLostError`, and then nothing has been written.
        """

        async def guarded(session: AsyncClientSession) -> Result:
            # A write, not a read: two transactions that touch the same fence cannot both commit.
            result = await self._database[FENCES].update_one(
                {"_id": self._job, "fence": self.fence}, {"$inc": {"writes": 1}}, session=session
            )
            if not result.matched_count:
                raise LeaseLostError(self._job)
            return await work(session)

        async with self._database.client.start_session() as session:
            outcome: Any = await session.with_transaction(guarded)
            return outcome  # type: ignore[no-any-return]
