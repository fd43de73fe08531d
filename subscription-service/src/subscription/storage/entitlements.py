"""What users may see, computed from their subscriptions, and the revision that counts its changes."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import FromClause, Row, Select, and_, func, select, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.domain.entitlements import BucketDigest, Entitlements, Grant, bucket_of
from subscription.storage.tables import (
    NEVER,
    deleted_users,
    entitlements_revisions,
    package_version_genres,
    package_versions,
    subscriptions,
)


class EntitlementRepository:
    """Entitlements in the session's database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def lock(self, users: Collection[uuid.UUID]) -> None:
        """Keep everybody else from changing what these users may see, until the end of the transaction.

        In ascending order, so that two transactions never wait for each other. A row made here has revision 0,
        which means that nothing was ever granted.
        """
        table = entitlements_revisions
        rows = [{"user_id": user, "bucket": bucket_of(user), "revision": 0} for user in sorted(users)]
        # One statement with many rows: the driver sends a list of parameters one by one where MySQL names the new row.
        statement = insert(table).values(rows).on_duplicate_key_update(revision=table.c.revision)
        await self._session.execute(statement)

    async def bump(self, users: Collection[uuid.UUID]) -> None:
        """Count one change for each of these (locked) users."""
        table = entitlements_revisions
        await self._session.execute(
            update(table).where(table.c.user_id.in_(sorted(users))).values(revision=table.c.revision + 1)
        )

    async def of_user(self, user_id: uuid.UUID, now: datetime) -> Entitlements:
        """What the user may see at `now`."""
        found = await self.of_users([user_id], now)
        return found[0] if found else Entitlements(user_id, 0, ())

    async def of_users(self, users: Collection[uuid.UUID], now: datetime) -> list[Entitlements]:
        """What these users may see at `now`, by ascending id, without those who never were granted anything."""
        table = entitlements_revisions
        chosen = select(table.c.user_id, table.c.revision).where(table.c.user_id.in_(sorted(users)))
        return await self._read(chosen.subquery("chosen"), now)

    async def list_users(self, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
        """The next `limit` users to whom something was granted at some time, behind the id `after`."""
        table = entitlements_revisions
        statement = select(table.c.user_id).where(table.c.revision > 0).order_by(table.c.user_id).limit(limit)
        if after is not None:
            statement = statement.where(table.c.user_id > after)
        return list((await self._session.execute(statement)).scalars())

    async def in_bucket(self, bucket: int, after: uuid.UUID | None, limit: int, now: datetime) -> list[Entitlements]:
        """The next `limit` users of a bucket after the id `after`, with what they may see at `now`."""
        table = entitlements_revisions
        chosen = select(table.c.user_id, table.c.revision).where(table.c.bucket == bucket, table.c.revision > 0)
        if after is not None:
            chosen = chosen.where(table.c.user_id > after)
        return await self._read(chosen.order_by(table.c.user_id).limit(limit).subquery("chosen"), now)

    async def _read(self, chosen: FromClause, now: datetime) -> list[Entitlements]:
        # One statement, so that revision and grants are of one moment.
        rows = (await self._session.execute(_grants(chosen, now))).all()
        return [
            Entitlements(user_id, revision, _grants_of(list(group)))
            for (user_id, revision), group in groupby(rows, key=lambda row: (row.user_id, row.revision))
        ]

    async def digest(self) -> list[BucketDigest]:
        """Count of users and sum of revisions per bucket; buckets without users are missing."""
        table = entitlements_revisions
        statement = (
            select(table.c.bucket, func.count(), func.sum(table.c.revision))
            .where(table.c.revision > 0)
            .group_by(table.c.bucket)
        )
        return [
            BucketDigest(bucket, count, int(total)) for bucket, count, total in await self._session.execute(statement)
        ]

    async def deleted_among(self, users: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Which of these users have been deleted at identity-service."""
        statement = select(deleted_users.c.user_id).where(deleted_users.c.user_id.in_(users))
        return set((await self._session.execute(statement)).scalars())

    async def mark_deleted(self, user_id: uuid.UUID, now: datetime) -> bool:
        """Remember that the (locked) user is gone, because an access token may outlive its user; whether it is news."""
        if await self.deleted_among([user_id]):
            return False
        await self._session.execute(plain_insert(deleted_users).values(user_id=user_id, deleted_at=now))
        return True


def _grants(chosen: FromClause, now: datetime) -> Select[Any]:
    held = package_version_genres
    active = and_(
        subscriptions.c.user_id == chosen.c.user_id,
        subscriptions.c.active_package_id.is_not(None),
        subscriptions.c.ends_at > now,
    )
    version = and_(
        package_versions.c.package_id == subscriptions.c.package_id,
        package_versions.c.version == subscriptions.c.package_version,
    )
    of_version = and_(
        held.c.package_id == subscriptions.c.package_id, held.c.version == subscriptions.c.package_version
    )
    return (
        select(
            chosen.c.user_id,
            chosen.c.revision,
            subscriptions.c.id,
            subscriptions.c.package_id,
            package_versions.c.name,
            subscriptions.c.package_version,
            subscriptions.c.ends_at,
            held.c.genre_id,
        )
        .select_from(chosen)
        .outerjoin(subscriptions, active)
        .outerjoin(package_versions, version)
        .outerjoin(held, of_version)
        .order_by(chosen.c.user_id, subscriptions.c.id, held.c.genre_id)
        # The only index that leads past what a user has cancelled.
        .with_hint(subscriptions, "FORCE INDEX (uq_subscriptions_user_id_active_package_id)", "mysql")
    )


def _grants_of(rows: Sequence[Row[Any]]) -> tuple[Grant, ...]:
    grants = []
    for subscription_id, group in groupby(rows, key=lambda row: row.id):
        if subscription_id is None:
            continue
        of_subscription = list(group)
        first = of_subscription[0]
        grants.append(
            Grant(
                subscription_id=subscription_id,
                package_id=first.package_id,
                package_name=first.name,
                package_version=first.package_version,
                genre_ids=tuple(row.genre_id for row in of_subscription),
                valid_until=None if first.ends_at == NEVER else first.ends_at,
            )
        )
    return tuple(grants)
