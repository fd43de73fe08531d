"""Leases: one worker at a time does a job, and a fence tells later holders from earlier ones.

There are no transactions of several documents here, on purpose: a process that is killed inside of one leaves
locks behind that not every engine takes back. A write is one document, guarded by the fence that it carries.
"""

from dataclasses import dataclass

from pymongo import ReturnDocument

from catalog.storage.schema import LEASES
from chassis.mongo import MongoDatabase


class LeaseLostError(Exception):
    """A later holder has begun: whatever was about to be written is not."""


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
