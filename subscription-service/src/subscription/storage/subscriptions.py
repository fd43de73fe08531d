"""Subscriptions in the database."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.pagination import Slice
from chassis.sql import violated_constraint
from subscription.domain.errors import AlreadySubscribedError
from subscription.domain.subscriptions import Subscription, SubscriptionQuery, SubscriptionStatus
from subscription.storage.genres import GenreRepository
from subscription.storage.pages import branch, in_page_order, page_of
from subscription.storage.tables import NEVER, package_versions, subscriptions
from subscription.storage.totals import TotalRepository

_UNIQUE_ACTIVE = "uq_subscriptions_user_id_active_package_id"
_ACTIVE = SubscriptionStatus.ACTIVE.value
_WITH_NAME: Select[Any] = select(subscriptions, package_versions.c.name.label("package_name")).join(
    package_versions,
    and_(
        package_versions.c.package_id == subscriptions.c.package_id,
        package_versions.c.version == subscriptions.c.package_version,
    ),
)


def _total_name(status: SubscriptionStatus) -> str:
    return f"subscriptions.{status.value}"


class SubscriptionRepository:
    """Subscriptions in the session's database.

    Whoever changes a subscription holds the lock on its user's entitlements (`EntitlementRepository.lock`),
    save for `mark_expired`, which changes nothing that anybody may see.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._totals = TotalRepository(session)

    async def find(self, subscription_id: uuid.UUID, now: datetime) -> Subscription | None:
        """The subscription as it is at `now`."""
        rows = (await self._session.execute(_WITH_NAME.where(subscriptions.c.id == subscription_id))).all()
        found = await self._subscriptions(rows, now)
        return found[0] if found else None

    async def _subscriptions(self, rows: Sequence[Row[Any]], now: datetime) -> list[Subscription]:
        keys = {(row.package_id, row.package_version) for row in rows}
        held = await GenreRepository(self._session).of_versions(keys)
        return [
            Subscription(
                id=row.id,
                user_id=row.user_id,
                package_id=row.package_id,
                package_name=row.package_name,
                package_version=row.package_version,
                genres=held[(row.package_id, row.package_version)],
                status=_status_at(row, now),
                created_at=row.created_at,
                expires_at=None if row.ends_at == NEVER else row.ends_at,
                cancelled_at=row.cancelled_at,
            )
            for row in rows
        ]

    async def insert(self, found: Sequence[Subscription], author: uuid.UUID) -> None:
        """Store new active subscriptions. Raises `AlreadySubscribedError`."""
        rows = [
            {
                "id": one.id,
                "user_id": one.user_id,
                "package_id": one.package_id,
                "package_version": one.package_version,
                "status": one.status.value,
                "created_at": one.created_at,
                "created_by": author,
                "ends_at": one.expires_at or NEVER,
            }
            for one in found
        ]
        try:
            await self._session.execute(insert(subscriptions), rows)
        except IntegrityError as error:
            if violated_constraint(error) == _UNIQUE_ACTIVE:
                raise AlreadySubscribedError from error
            raise
        await self._totals.add({_total_name(SubscriptionStatus.ACTIVE): len(rows)})

    async def subscribers_among(
        self, package_id: uuid.UUID, users: Collection[uuid.UUID], now: datetime
    ) -> set[uuid.UUID]:
        """Which of `users` have an active, unexpired subscription to the package."""
        statement = select(subscriptions.c.user_id).where(
            subscriptions.c.user_id.in_(users),
            subscriptions.c.active_package_id == package_id,
            subscriptions.c.ends_at > now,
        )
        return set((await self._session.execute(statement)).scalars())

    async def cancel(self, subscription_id: uuid.UUID, now: datetime) -> bool:
        """End the subscription if it is active and unexpired; whether it was."""
        statement = (
            update(subscriptions)
            .where(
                subscriptions.c.id == subscription_id, subscriptions.c.status == _ACTIVE, subscriptions.c.ends_at > now
            )
            .values(status=SubscriptionStatus.CANCELLED.value, cancelled_at=now)
        )
        ended = _row_count(await self._session.execute(statement)) == 1
        if ended:
            await self._add_totals(_ACTIVE, SubscriptionStatus.CANCELLED, 1)
        return ended

    async def set_version(self, ids: Collection[uuid.UUID], version: int) -> None:
        """Pin the subscriptions to another version of their package."""
        await self._session.execute(
            update(subscriptions).where(subscriptions.c.id.in_(ids)).values(package_version=version)
        )

    async def expire_of_users(self, package_id: uuid.UUID, users: Collection[uuid.UUID], now: datetime) -> None:
        """Mark what has expired of these users' subscriptions to the package, so that they may subscribe again."""
        statement = (
            update(subscriptions)
            .where(
                subscriptions.c.user_id.in_(users),
                subscriptions.c.active_package_id == package_id,
                subscriptions.c.ends_at <= now,
            )
            .values(status=SubscriptionStatus.EXPIRED.value)
        )
        marked = _row_count(await self._session.execute(statement))
        await self._add_totals(_ACTIVE, SubscriptionStatus.EXPIRED, marked)

    async def mark_expired(self, now: datetime, limit: int) -> int:
        """Mark up to `limit` expired subscriptions that no other replica is marking; how many."""
        due = (
            select(subscriptions.c.id)
            .where(subscriptions.c.status == _ACTIVE, subscriptions.c.ends_at <= now)
            .order_by(subscriptions.c.ends_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = (await self._session.execute(due)).scalars().all()
        if ids:
            await self._session.execute(
                update(subscriptions).where(subscriptions.c.id.in_(ids)).values(status=SubscriptionStatus.EXPIRED.value)
            )
            await self._add_totals(_ACTIVE, SubscriptionStatus.EXPIRED, len(ids))
        return len(ids)

    async def _add_totals(self, before: str, after: SubscriptionStatus, count: int) -> None:
        await self._totals.add({_total_name(SubscriptionStatus(before)): -count, _total_name(after): count})

    async def delete_of_user(self, user_id: uuid.UUID) -> int:
        """Delete every subscription that the user ever had; how many of them were stored as active."""
        counts = (
            await self._session.execute(
                select(subscriptions.c.status, func.count().label("rows"))
                .where(subscriptions.c.user_id == user_id)
                .group_by(subscriptions.c.status)
            )
        ).all()
        await self._session.execute(subscriptions.delete().where(subscriptions.c.user_id == user_id))
        await self._totals.add({_total_name(SubscriptionStatus(row.status)): -row.rows for row in counts})
        return sum(row.rows for row in counts if row.status == _ACTIVE)

    async def subscribers_by_version(self, package_id: uuid.UUID, now: datetime) -> dict[int, int]:
        """How many active, unexpired subscriptions each version of the package has."""
        statement = (
            select(subscriptions.c.package_version, func.count().label("subscribers"))
            .where(
                subscriptions.c.package_id == package_id,
                subscriptions.c.status == _ACTIVE,
                subscriptions.c.ends_at > now,
            )
            .group_by(subscriptions.c.package_version)
        )
        return {row.package_version: row.subscribers for row in await self._session.execute(statement)}

    async def oldest_version(self, package_id: uuid.UUID) -> int | None:
        """The lowest version that a subscription stored as active is pinned to; None without any."""
        statement = select(func.min(subscriptions.c.package_version)).where(
            subscriptions.c.package_id == package_id, subscriptions.c.status == _ACTIVE
        )
        oldest: int | None = (await self._session.execute(statement)).scalar_one()
        return oldest

    async def older_subscribers(self, package_id: uuid.UUID, version: int, limit: int) -> Sequence[uuid.UUID]:
        """The first users, by version and id, whose subscription is stored as active on an older version."""
        statement = (
            select(subscriptions.c.user_id)
            .where(
                subscriptions.c.package_id == package_id,
                subscriptions.c.status == _ACTIVE,
                subscriptions.c.package_version < version,
            )
            .order_by(subscriptions.c.package_version, subscriptions.c.user_id)
            .limit(limit)
        )
        return (await self._session.execute(statement)).scalars().all()

    async def older_of_users(
        self, package_id: uuid.UUID, version: int, users: Collection[uuid.UUID]
    ) -> dict[uuid.UUID, uuid.UUID]:
        """By user: the subscription of each of these users that is stored as active on an older version."""
        statement = select(subscriptions.c.id, subscriptions.c.user_id).where(
            subscriptions.c.user_id.in_(users),
            subscriptions.c.active_package_id == package_id,
            subscriptions.c.package_version < version,
        )
        return {row.user_id: row.id for row in await self._session.execute(statement)}

    async def list_subscriptions(self, query: SubscriptionQuery, now: datetime) -> Slice[Subscription]:
        """A page of the subscriptions that `query` asks for, with the status they have at `now`."""
        branches = _branches(query, now)
        statements = [
            branch(subscriptions, query.sort.value, query.descending, one.conditions, one.index) for one in branches
        ]
        page = page_of(statements, query.descending, query.page)
        rows = (await self._session.execute(in_page_order(_WITH_NAME, page, subscriptions, query.descending))).all()
        return Slice(await self._subscriptions(rows, now), await self._count(query, branches, now))

    async def _count(self, query: SubscriptionQuery, branches: Sequence["_Branch"], now: datetime) -> int:
        if query.user_id or query.package_id:
            counts = [
                select(func.count())
                .select_from(subscriptions)
                .where(*one.conditions)
                .with_hint(subscriptions, f"FORCE INDEX ({one.index})", "mysql")
                .scalar_subquery()
                for one in branches
            ]
            return int((await self._session.execute(select(sum(counts[1:], start=counts[0])))).scalar_one())
        stored = await self._totals.sum([_total_name(query.status)] if query.status else list(_ALL_TOTALS))
        if query.status in (None, SubscriptionStatus.CANCELLED):
            return stored
        # Those that have expired and are not marked yet count the other way; the job keeps them few.
        overdue = select(func.count()).where(subscriptions.c.status == _ACTIVE, subscriptions.c.ends_at <= now)
        unmarked = int((await self._session.execute(overdue)).scalar_one())
        return stored + (unmarked if query.status is SubscriptionStatus.EXPIRED else -unmarked)


_ALL_TOTALS = tuple(_total_name(status) for status in SubscriptionStatus)


@dataclass(frozen=True, slots=True)
class _Branch:
    """Rows of one stored status, and the index that finds them."""

    conditions: Sequence[ColumnElement[bool]]
    index: str


def _branches(query: SubscriptionQuery, now: datetime) -> list[_Branch]:
    table = subscriptions.c
    common: list[ColumnElement[bool]] = []
    if query.user_id:
        common.append(table.user_id == query.user_id)
    if query.package_id:
        common.append(table.package_id == query.package_id)

    def stored(status: SubscriptionStatus, *more: ColumnElement[bool], index: str | None = None) -> _Branch:
        return _Branch([*common, table.status == status.value, *more], _narrow_index(query) or index or in_order)

    in_order = f"ix_subscriptions_{query.sort.value}" + ("_desc" if query.descending else "")
    if query.status is None:
        return [stored(status) for status in SubscriptionStatus]
    if query.status is SubscriptionStatus.ACTIVE:
        return [stored(SubscriptionStatus.ACTIVE, table.ends_at > now)]
    if query.status is SubscriptionStatus.CANCELLED:
        return [stored(SubscriptionStatus.CANCELLED)]
    # The few that have expired and are not marked yet are found by their end and then sorted.
    overdue = stored(SubscriptionStatus.ACTIVE, table.ends_at <= now, index="ix_subscriptions_ends_at")
    return [stored(SubscriptionStatus.EXPIRED), overdue]


def _narrow_index(query: SubscriptionQuery) -> str | None:
    if query.user_id:
        return "ix_subscriptions_user"
    return "ix_subscriptions_package" if query.package_id else None


def _status_at(row: Row[Any], now: datetime) -> SubscriptionStatus:
    status = SubscriptionStatus(row.status)
    if status is SubscriptionStatus.ACTIVE and row.ends_at <= now:
        return SubscriptionStatus.EXPIRED
    return status


def _row_count(result: Any) -> int:
    return int(result.rowcount)
