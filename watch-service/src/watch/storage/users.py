"""Who has a history: the number of films of each user, and the tombstones of deleted users.

`films` changes only in the transaction that adds or removes an entry, so it cannot drift from the history. It
decides which users the administrators' list of reports shows; no figure of a report comes from it.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from pymongo import ASCENDING, ReturnDocument
from pymongo.asynchronous.cursor import AsyncCursor
from pymongo.errors import DuplicateKeyError

from chassis.mongo import Document, MongoDatabase, translate_outage
from chassis.pagination import PageRequest, Slice
from watch.domain.errors import UserDeletedError
from watch.storage.batches import batches
from watch.storage.directory import Directory
from watch.storage.transactions import Session

# Reports are compiled for so many users at a time when all are exported.
_BATCH = 100


class UserRepository:
    def __init__(self, database: MongoDatabase, directory: Directory) -> None:
        self._users = database["users"]
        self._directory = directory

    async def ensure(self, user_id: uuid.UUID) -> bool:
        """Make sure that there is a document for the user; False when it is a tombstone."""
        async with translate_outage():
            found = await self._users.find_one({"_id": user_id}, {"deleted": 1})
            if found is not None:
                return not found["deleted"]
            try:
                await self._users.insert_one({"_id": user_id, "films": 0, "deleted": False})
            except DuplicateKeyError:
                # Somebody else stored the same user at this moment, as a new one or as a tombstone.
                return await self.ensure(user_id)
            return True

    async def count_in(self, user_id: uuid.UUID, session: Session) -> uuid.UUID | None:
        """One film more. Returns the segment of the directory that grew by this, if one did.

        Raises `UserDeletedError` when the user has been deleted meanwhile.
        """
        user = await self._users.find_one_and_update(
            {"_id": user_id, "deleted": False},
            {"$inc": {"films": 1}},
            session=session,
            return_document=ReturnDocument.AFTER,
        )
        if user is None:
            raise UserDeletedError
        return await self._directory.enter(user_id, session) if user["films"] == 1 else None

    async def count_out(self, user_id: uuid.UUID, session: Session) -> None:
        """One film less."""
        user = await self._users.find_one_and_update(
            {"_id": user_id, "deleted": False},
            {"$inc": {"films": -1}},
            session=session,
            return_document=ReturnDocument.AFTER,
        )
        if user is not None and user["films"] == 0:
            await self._directory.leave(user_id, user["segment"], session)

    async def bury(self, user_id: uuid.UUID, revision: int, now: datetime, session: Session) -> None:
        """Leave a tombstone: from its commit on nothing can be stored for the user. Repeating it changes nothing."""
        before = await self._users.find_one_and_update(
            {"_id": user_id},
            {"$set": {"films": 0, "deleted": True, "deletedAt": now, "revision": revision}},
            session=session,
            return_document=ReturnDocument.BEFORE,
        )
        if before is not None and "segment" in before:
            await self._directory.leave(user_id, before["segment"], session)

    async def list_with_films(
        self, user_ids: frozenset[uuid.UUID] | None, min_films: int, page: PageRequest
    ) -> Slice[uuid.UUID]:
        """The page of users with at least `min_films` films (and at least one), in the order of their ids."""
        if user_ids is None and min_films <= 1:
            return await self._directory.list_page(page)
        condition = _with_films(user_ids, min_films)
        async with translate_outage():
            total = await self._users.count_documents(condition)
            found = await self._in_order(condition).skip(page.offset).limit(page.size).to_list()
        return Slice([document["_id"] for document in found], total)

    async def stream_with_films(
        self, user_ids: frozenset[uuid.UUID] | None, min_films: int
    ) -> AsyncIterator[Sequence[uuid.UUID]]:
        """All of the users that `list_with_films` pages through, a batch at a time."""
        async with translate_outage():
            async for found in batches(self._in_order(_with_films(user_ids, min_films)), _BATCH):
                yield [document["_id"] for document in found]

    def _in_order(self, condition: Document) -> AsyncCursor[Document]:
        return self._users.find(condition, {"films": 1}, batch_size=_BATCH).sort("_id", ASCENDING)


def _with_films(user_ids: frozenset[uuid.UUID] | None, min_films: int) -> Document:
    condition: Document = {"films": {"$gte": max(1, min_films)}}
    if user_ids is not None:
        condition["_id"] = {"$in": sorted(user_ids)}
    return condition
