"""The users that have a history, in the order of their ids, with any page and the total at hand.

Counting the users or skipping to a page costs time with their number. So they are kept in segments, the leaves
of a one-level B+-tree: a segment begins at its `_id`, ends where the next begins, and knows how many users with
a history are in it; such a user's document names its segment. All of this changes in the transaction that adds
a user's first film or removes the last one, so the counts are exact whatever is killed when.
"""

import uuid
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument

from chassis.mongo import MongoDatabase
from chassis.pagination import PageRequest, Slice
from watch.storage.transactions import Session, Transactions

# Reading a page costs the number of segments plus one segment, which is least near the square root of the number
# of users: here a million.
SEGMENT_SIZE = 1000


class Directory:
    def __init__(
        self, database: MongoDatabase, transactions: Transactions, *, segment_size: int = SEGMENT_SIZE
    ) -> None:
        self._segments = database["segments"]
        self._users = database["users"]
        self._transactions = transactions
        self._segment_size = segment_size

    async def enter(self, user_id: uuid.UUID, session: Session) -> uuid.UUID | None:
        """Take in a user who has a history from now on. Returns the segment when it has to be split."""
        segment = await self._segments.find_one_and_update(
            {"_id": {"$lte": user_id}},
            {"$inc": {"users": 1}},
            sort=[("_id", DESCENDING)],
            session=session,
            return_document=ReturnDocument.AFTER,
        )
        if segment is None:
            raise LookupError("the directory has no first segment: the migration step has not run")
        await self._users.update_one({"_id": user_id}, {"$set": {"segment": segment["_id"]}}, session=session)
        found: uuid.UUID = segment["_id"]
        return found if segment["users"] > self._segment_size else None

    async def leave(self, user_id: uuid.UUID, segment: uuid.UUID, session: Session) -> None:
        """Take out a user whose history has become empty."""
        await self._segments.update_one({"_id": segment}, {"$inc": {"users": -1}}, session=session)
        await self._users.update_one({"_id": user_id}, {"$unset": {"segment": ""}}, session=session)

    async def split(self, segment: uuid.UUID) -> None:
        """Divide a segment that has grown too large; does nothing when somebody else has done so."""

        async def work(session: Session) -> None:
            users = await self._members(segment, session).to_list()
            if len(users) <= self._segment_size:
                return
            kept, moved = users[: len(users) // 2], users[len(users) // 2 :]
            middle = moved[0]["_id"]
            await self._segments.insert_one({"_id": middle, "users": len(moved)}, session=session)
            await self._segments.update_one({"_id": segment}, {"$set": {"users": len(kept)}}, session=session)
            await self._users.update_many(
                {"_id": {"$in": [user["_id"] for user in moved]}}, {"$set": {"segment": middle}}, session=session
            )

        await self._transactions.run(work)

    def _members(self, segment: uuid.UUID, session: Session) -> Any:
        return self._users.find({"segment": segment}, {"films": 1}, session=session).sort("_id", ASCENDING)

    async def list_page(self, page: PageRequest) -> Slice[uuid.UUID]:
        """One page of the users that have a history, and how many there are."""

        async def work(session: Session) -> Slice[uuid.UUID]:
            # Both reads in one snapshot: a split in between would otherwise hide users.
            segments = (
                await self._segments.find({"users": {"$gt": 0}}, session=session).sort("_id", ASCENDING).to_list()
            )
            found: list[uuid.UUID] = []
            skipped = 0
            for segment in segments:
                begin = max(0, page.offset - skipped)
                skipped += segment["users"]
                if begin < segment["users"] and len(found) < page.size:
                    users = self._members(segment["_id"], session).skip(begin).limit(page.size - len(found))
                    found.extend([user["_id"] async for user in users])
            return Slice(found, sum(segment["users"] for segment in segments))

        return await self._transactions.run(work)
