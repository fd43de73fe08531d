"""Telling again what users may see, as a new revision: whoever has lost it or holds something else takes it."""

import uuid
from collections.abc import AsyncIterator, Collection

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import Database
from subscription.domain.entitlements import Entitlements
from subscription.services.entitlements import EntitlementAnnouncer
from subscription.storage.clock import DatabaseClock
from subscription.storage.entitlements import EntitlementRepository

_BATCH = 200


class Announcement:
    """Stores events about the present state in the outbox; the relays of the workers publish them."""

    def __init__(self, database: Database, clock: DatabaseClock, announcer: EntitlementAnnouncer) -> None:
        self._database = database
        self._clock = clock
        self._announcer = announcer

    async def announce_user(self, user_id: uuid.UUID, *, dry_run: bool = False) -> Entitlements | None:
        """Tell what one user may see; None when nothing was ever granted."""
        told = await self._database.transaction(lambda session: self._announce(session, [user_id], dry_run=dry_run))
        return told[0] if told else None

    async def announce_all(
        self, after: uuid.UUID | None = None, *, dry_run: bool = False
    ) -> AsyncIterator[tuple[uuid.UUID, int]]:
        """Tell it of all users behind the id `after`, batch by batch: the last id of each, and how many were told."""

        async def batch(session: AsyncSession) -> list[Entitlements]:
            users = await EntitlementRepository(session).list_users(after, _BATCH)
            return await self._announce(session, users, dry_run=dry_run)

        while told := await self._database.transaction(batch):
            after = told[-1].user_id
            yield after, len(told)

    async def _announce(
        self, session: AsyncSession, users: Collection[uuid.UUID], *, dry_run: bool
    ) -> list[Entitlements]:
        now = await self._clock(session)
        entitlements = EntitlementRepository(session)
        known = [one for one in await entitlements.of_users(users, now) if one.revision > 0]
        if dry_run or not known:
            return known
        ids = [one.user_id for one in known]
        await entitlements.lock(ids)
        return await self._announcer.announce(session, ids, now)
