"""What is known about the routines that fetch from TMDB, for the API to show and the next worker to go on from."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from catalog.domain.sync import Routine, RoutineState, SyncFailure
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

    async def schedule(self, routine: Routine, at: datetime | None) -> None:
        """Nothing is running; the next run is due at `at`, or nobody knows yet."""
        await self._sync.update_one({"_id": routine.value}, {"$set": {"nextAt": at, "runningSince": None}})

    async def begin(self, routine: Routine, now: datetime, session: AsyncClientSession) -> None:
        await self._sync.update_one({"_id": routine.value}, {"$set": {"runningSince": now}}, session=session)

    async def succeed(  # noqa: PLR0913 - these are the parts of an outcome
        self,
        routine: Routine,
        now: datetime,
        next_at: datetime,
        changes: Mapping[str, int] | None,
        memory: Document,
        session: AsyncClientSession,
    ) -> None:
        """The run has ended well; `changes` is None when there were none."""
        fields: Document = {
            "runningSince": None,
            "checkedAt": now,
            "nextAt": next_at,
            "failures": 0,
            "progress": None,
            **{f"memory.{name}": value for name, value in memory.items()},
        }
        if changes is not None:
            fields |= {"changedAt": now, "changes": dict(changes)}
        await self._sync.update_one({"_id": routine.value}, {"$set": fields}, session=session)

    async def fail(
        self, routine: Routine, failure: SyncFailure, failures: int, next_at: datetime, session: AsyncClientSession
    ) -> None:
        """The run has failed; whatever it noted stays, so that the next one goes on from there."""
        await self._sync.update_one(
            {"_id": routine.value},
            {
                "$set": {
                    "runningSince": None,
                    "nextAt": next_at,
                    "failures": failures,
                    "lastFailure": {"at": failure.at, "code": failure.code, "message": failure.message},
                },
                "$inc": {"failuresInAll": 1},
            },
            session=session,
        )

    async def note(self, routine: Routine, memory: Document, progress: Document, session: AsyncClientSession) -> None:
        """Remember how far the run has come."""
        fields = {"progress": progress, **{f"memory.{name}": value for name, value in memory.items()}}
        await self._sync.update_one({"_id": routine.value}, {"$set": fields}, session=session)

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
        """Make both routines due at once if a run was asked for."""
        if await self.asked_at() is None:
            return False
        for routine in Routine:
            await self._sync.update_one({"_id": routine.value}, {"$set": {"nextAt": now, "memory.wanted": True}})
        # Last, so that a worker that dies before leaves the request to the next one.
        await self._sync.update_one({"_id": _REQUEST}, {"$set": {"pending": False}})
        return True
