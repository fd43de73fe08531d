"""What users may see, and telling the others when it changes."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.events.sql_outbox import SqlOutbox
from chassis.sql import Database
from subscription.domain.entitlements import BucketDigest, Entitlements, entitlements_changed, full_digest
from subscription.domain.genres import Genre
from subscription.storage.clock import DatabaseClock
from subscription.storage.entitlements import EntitlementRepository
from subscription.storage.genres import GenreRepository


@dataclass(frozen=True, slots=True)
class NamedEntitlements:
    """Entitlements and the genres of their union, in ascending id."""

    entitlements: Entitlements
    genres: tuple[Genre, ...]


class EntitlementAnnouncer:
    """Counts a change of what users may see and writes its event, in the transaction of the change."""

    def __init__(self, outbox: SqlOutbox) -> None:
        self._outbox = outbox

    async def announce(self, session: AsyncSession, users: Collection[uuid.UUID], now: datetime) -> list[Entitlements]:
        """One revision and one event for each of `users`, who are locked and whose subscriptions have changed."""
        repository = EntitlementRepository(session)
        await repository.bump(users)
        changed = await repository.of_users(users, now)
        await self._outbox.append_many(session, [entitlements_changed(entitlements) for entitlements in changed])
        return changed


class EntitlementService:
    """Answers what users may see."""

    def __init__(self, database: Database, clock: DatabaseClock) -> None:
        self._database = database
        self._clock = clock

    async def get_entitlements(self, user_id: uuid.UUID) -> NamedEntitlements:
        """What the user may see now."""

        async def work(session: AsyncSession) -> NamedEntitlements:
            found = await EntitlementRepository(session).of_user(user_id, await self._clock(session))
            genres = await GenreRepository(session).find(found.genre_ids)
            return NamedEntitlements(found, tuple(genres[genre_id] for genre_id in sorted(genres)))

        return await self._database.read(work)

    async def digest(self) -> list[BucketDigest]:
        """All 256 buckets; equal digests mean that two copies hold the same revisions."""
        return full_digest(await self._database.read(lambda session: EntitlementRepository(session).digest()))

    async def snapshot(self, bucket: int, after: uuid.UUID | None, limit: int) -> list[Entitlements]:
        """The next `limit` users of a bucket, by id."""

        async def work(session: AsyncSession) -> list[Entitlements]:
            now = await self._clock(session)
            return await EntitlementRepository(session).in_bucket(bucket, after, limit, now)

        return await self._database.read(work)
