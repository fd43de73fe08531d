"""The projection of entitlements: newer revisions only, whoever brings them."""

import uuid
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from catalog.domain.entitlements import Entitlements, Grant, Statement
from catalog.storage.schema import ENTITLEMENTS
from chassis.mongo import MongoDatabase


def bucket_of(user_id: uuid.UUID) -> int:
    """The part of the projection that is compared as one: as subscription-service computes it."""
    return zlib.crc32(str(user_id).encode("ascii")) & 255


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
        stored = _document(statement)
        newer: dict[str, Any] = {"_id": str(statement.user_id), "revision": {"$lt": statement.revision}}
        try:
            result = await self._entitlements.update_one(newer, {"$set": stored}, upsert=True)
            return bool(result.matched_count or result.upserted_id is not None)
        except DuplicateKeyError:
            # There is a document and it is not older; or somebody inserted one at this very moment.
            result = await self._entitlements.update_one(newer, {"$set": stored})
        if result.matched_count:
            return True
        await self._confirm(statement)
        return False

    async def put_back(self, statement: Statement, stored_revision: int) -> None:
        """Take an older `statement` in place of `stored_revision`: the source's database went back in time."""
        await self._entitlements.update_one(
            {"_id": str(statement.user_id), "revision": stored_revision}, {"$set": _document(statement)}
        )

    async def _confirm(self, statement: Statement) -> None:
        confirmed: dict[str, Any] = {"$max": {"confirmedAt": statement.as_of}}
        if statement.etag is not None:
            confirmed["$set"] = {"etag": statement.etag}
        await self._entitlements.update_one({"_id": str(statement.user_id), "revision": statement.revision}, confirmed)

    async def confirm(self, user_id: uuid.UUID, etag: str, as_of: datetime) -> None:
        """What is stored under `etag` was still true at `as_of`."""
        await self._entitlements.update_one({"_id": str(user_id), "etag": etag}, {"$max": {"confirmedAt": as_of}})

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

    async def revisions_of(self, bucket: int) -> dict[uuid.UUID, int]:
        """The stored revision of every user of a bucket."""
        cursor = self._entitlements.find({"bucket": bucket, "revision": {"$gt": 0}}, {"revision": 1})
        return {uuid.UUID(row["_id"]): int(row["revision"]) async for row in cursor}

    async def remove(self, user_id: uuid.UUID, revision: int) -> None:
        """Forget a user of whom the source knows nothing, unless something newer came meanwhile."""
        await self._entitlements.delete_one({"_id": str(user_id), "revision": revision})
