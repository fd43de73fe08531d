"""The projection of entitlements: newer revisions only, whoever brings them."""

import uuid
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from catalog.domain.entitlements import Entitlements, Grant, Statement
from catalog.storage.schema import ENTITLEMENTS
from chassis.mongo import Document, MongoDatabase

BUCKETS = 256


def bucket_of(user_id: uuid.UUID) -> int:
    """The part of the projection that is compared as one: as subscription-service computes it."""
    return zlib.crc32(str(user_id).encode("ascii")) % BUCKETS


def _entitlements(document: Mapping[str, Any]) -> Entitlements:
    return Entitlements(
        user_id=uuid.UUID(document["_id"]),
        revision=int(document["revision"]),
        grants=tuple(Grant(frozenset(g["genreIds"]), g["validUntil"]) for g in document["grants"]),
        confirmed_at=document["confirmedAt"],
        etag=document.get("etag"),
    )


def _document(statement: Statement) -> dict[str, Any]:
    return {
        "revision": statement.revision,
        "grants": [{"genreIds": sorted(g.genre_ids), "validUntil": g.valid_until} for g in statement.grants],
        "etag": statement.etag,
        "bucket": bucket_of(statement.user_id),
        "confirmedAt": statement.as_of,
    }


class EntitlementRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._entitlements = database[ENTITLEMENTS]

    async def find(self, user_id: uuid.UUID) -> Entitlements | None:
        document = await self._entitlements.find_one({"_id": str(user_id)})
        return _entitlements(document) if document else None

    async def apply(self, statement: Statement) -> bool:
        """Store `statement` when its revision is newer than what is stored; whether it was.

        The same revision only confirms what is stored, an older one changes nothing.
        """
        key = {"_id": str(statement.user_id)}
        stored = await self._entitlements.find_one(key)
        if stored is not None and stored["revision"] >= statement.revision:
            await self._confirm(statement)
            return False
        # The guard is in the update and not in the filter: with more than `_id` in the filter some engines scan.
        # A missing revision compares as less than any.
        newer = {"$lt": ["$revision", statement.revision]}
        update = [{"$replaceWith": {"$cond": [newer, {"$literal": {**key, **_document(statement)}}, "$$ROOT"]}}]
        try:
            result = await self._entitlements.update_one(key, update, upsert=True)
        except DuplicateKeyError:
            # Two inserted at the same moment, and the other was first.
            result = await self._entitlements.update_one(key, update)
        return bool(result.modified_count or result.upserted_id is not None)

    async def put_back(self, statement: Statement, stored_revision: int) -> None:
        """Take an older `statement` in place of `stored_revision`: the source's database went back in time."""
        await self._entitlements.update_one(
            {"_id": str(statement.user_id), "revision": stored_revision}, {"$set": _document(statement)}
        )

    async def _confirm(self, statement: Statement) -> None:
        same = {"$eq": ["$revision", statement.revision]}
        tag = {} if statement.etag is None else {"etag": {"$cond": [same, statement.etag, "$etag"]}}
        await self._confirm_if(statement.user_id, same, statement.as_of, tag)

    async def confirm(self, user_id: uuid.UUID, etag: str, as_of: datetime) -> None:
        """What is stored under `etag` was still true at `as_of`."""
        await self._confirm_if(user_id, {"$eq": ["$etag", etag]}, as_of, {})

    async def _confirm_if(self, user_id: uuid.UUID, condition: Document, as_of: datetime, fields: Document) -> None:
        moment = {"$cond": [condition, {"$max": ["$confirmedAt", as_of]}, "$confirmedAt"]}
        await self._entitlements.update_one({"_id": str(user_id)}, [{"$set": {"confirmedAt": moment, **fields}}])

    async def digest(self) -> dict[int, tuple[int, int]]:
        """Count and sum of revisions of every bucket that has users.

        Revision 0 is an answer about somebody of whom the source has no row, so it does not count.
        """
        cursor = await self._entitlements.aggregate(
            [
                {"$match": {"revision": {"$gt": 0}}},
                {"$group": {"_id": "$bucket", "count": {"$sum": 1}, "sum": {"$sum": "$revision"}}},
            ]
        )
        return {int(row["_id"]): (int(row["count"]), int(row["sum"])) async for row in cursor}

    async def in_bucket(self, bucket: int) -> dict[uuid.UUID, Entitlements]:
        """What is held about every user of a bucket of whom the source has a row."""
        cursor = self._entitlements.find({"bucket": bucket, "revision": {"$gt": 0}})
        return {held.user_id: held async for held in (_entitlements(row) async for row in cursor)}

    async def remove(self, user_id: uuid.UUID, revision: int) -> None:
        """Forget a user of whom the source knows nothing, unless something newer came meanwhile."""
        await self._entitlements.delete_one({"_id": str(user_id), "revision": revision})
