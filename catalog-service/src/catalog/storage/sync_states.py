"""What is known about the routines that fetch from TMDB, for the API to show and the next worker to go on from."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument

from catalog.domain.sync import Routine, RoutineState, SyncFailure
from catalog.storage.leases import LeaseLostError
from catalog.storage.schema import SYNC
from chassis.mongo import Document, MongoDatabase

_REQUEST = "request"


def _state(routine: Routine, document: Mapping[str, Any]) -> RoutineState:
    failure = document.get("lastFailure")
    return RoutineState(
        routine=routine,
        running_since=document.get("runningSince"),
        checked_at=document.get("checkedAt"),
        changed_at=document.get("changedAt"),
        next_at=document.get("nextAt"),
        changes=document.get("changes") or {},
        failures=document.get("failures", 0),
        failures_in_all=document.get("failuresInAll", 0),
        last_failure=SyncFailure(failure["at"], failure["code"], failure["message"]) if failure else None,
        progress=document.get("progress"),
    )


class SyncStateRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._sync = database[SYNC]

    async def state(self, routine: Routine) -> RoutineState:
        return _state(routine, await self._sync.find_one({"_id": routine.value}) or {})

    async def memory(self, routine: Routine) -> Document:
        """What the routine itself has noted for its next run."""
        document = await self._sync.find_one({"_id": routine.value}) or {}
        memory: Document = document.get("memory") or {}
        return memory

    async def begin(self, routine: Routine, at: datetime | None, fence: int) -> None:
        """A new holder takes over: nothing is running, and the next run is due at `at` or nobody knows yet."""
        await self._update(routine, fence, {"nextAt": at, "runningSince": None, "fence": fence})

    async def require(self, routine: Routine, fence: int) -> None:
        """Raises `LeaseLostError` when a later holder has begun."""
        document = await self._sync.find_one({"_id": routine.value})
        if document is None or document["fence"] > fence:
            raise LeaseLostError(routine)

    async def schedule(self, routine: Routine, at: datetime, fence: int) -> None:
        await self._update(routine, fence, {"nextAt": at})

    async def start(self, routine: Routine, now: datetime, fence: int) -> None:
        await self._update(routine, fence, {"runningSince": now})

    async def succeed(
        self, routine: Routine, checked_at: datetime, next_at: datetime, changes: Mapping[str, int] | None, fence: int
    ) -> None:
        """The run has ended well; `changes` is None when there were none."""
        fields: Document = {
            "runningSince": None,
            "checkedAt": checked_at,
            "nextAt": next_at,
            "failures": 0,
            "progress": None,
        }
        if changes is not None:
            fields |= {"changedAt": checked_at, "changes": dict(changes)}
        await self._update(routine, fence, fields)

    async def fail(self, routine: Routine, failure: SyncFailure, failures: int, next_at: datetime, fence: int) -> None:
        """The run has failed; whatever it noted stays, so that the next one goes on from there."""
        fields = {
            "runningSince": None,
            "nextAt": next_at,
            "failures": failures,
            "lastFailure": {"at": failure.at, "code": failure.code, "message": failure.message},
        }
        await self._update(routine, fence, fields, {"$inc": {"failuresInAll": 1}})

    async def note(self, routine: Routine, memory: Document, progress: Document | None, fence: int) -> None:
        """Remember how far the run has come."""
        fields = {"progress": progress, **{f"memory.{name}": value for name, value in memory.items()}}
        await self._update(routine, fence, fields)

    async def _update(self, routine: Routine, fence: int, fields: Document, more: Document | None = None) -> None:
        result = await self._sync.update_one(
            {"_id": routine.value, "fence": {"$lte": fence}}, {"$set": fields, **(more or {})}
        )
        if not result.matched_count:
            raise LeaseLostError(routine)

    async def ask(self, now: datetime) -> bool:
        """Ask for a run of everything; False when one is asked for already."""
        document = await self._sync.find_one_and_update(
            {"_id": _REQUEST, "pending": False},
            {"$set": {"pending": True, "requestedAt": now}},
            return_document=ReturnDocument.AFTER,
        )
        return document is not None

    async def asked_at(self) -> datetime | None:
        """When a run was asked for that nobody has taken up."""
        document = await self._sync.find_one({"_id": _REQUEST}) or {}
        return document.get("requestedAt") if document.get("pending") else None

    async def take_up(self, now: datetime) -> bool:
        """Make both routines due at once if a run was asked for; it counts as running from then on."""
        if await self.asked_at() is None:
            return False
        for routine in Routine:
            await self._sync.update_one(
                {"_id": routine.value}, {"$set": {"nextAt": now, "runningSince": now, "memory.wanted": True}}
            )
        # Last, so that a worker that dies before leaves the request to the next one.
        await self._sync.update_one({"_id": _REQUEST}, {"$set": {"pending": False}})
        return True
