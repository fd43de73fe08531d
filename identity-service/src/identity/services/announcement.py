"""Telling again what this service knows of users, to others that may have lost it: gateways, histories, subscriptions.

They go by revisions or repeat themselves without harm, so that nobody is told too often.
"""

import uuid
from collections.abc import AsyncIterator

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.events.envelope import Event
from chassis.events.sql_outbox import SqlOutbox
from chassis.sql import Database
from identity.domain.events import user_changed, user_deleted
from identity.storage import revocations, users

_PAGE = 500


class Announcement:
    """Stores events about the present state in the outbox; the relays of the workers publish them."""

    def __init__(self, database: Database, outbox: SqlOutbox) -> None:
        self._database = database
        self._outbox = outbox

    async def announce_user(self, user_id: uuid.UUID, *, dry_run: bool = False) -> Event | None:
        """Tell the state of one user; the event, or None when there never was such a user."""

        async def work(session: AsyncSession) -> Event | None:
            # Locked, so that whoever changes the user at this moment tells after us.
            user = await users.lock(session, user_id)
            if user is not None:
                event = user_changed(user)
            elif (revision := await revocations.deleted_at_revision(session, user_id)) is not None:
                event = user_deleted(user_id, revision)
            else:
                return None
            if not dry_run:
                await self._append(session, event)
            return event

        return await self._database.transaction(work)

    async def announce_deleted(
        self, after: uuid.UUID | None = None, *, dry_run: bool = False
    ) -> AsyncIterator[tuple[uuid.UUID, int]]:
        """Tell all deletions behind the id `after`, page by page: the last id of the page, and how many were told."""
        while page := await self._announce_page(after, dry_run=dry_run):
            after = page[-1]
            yield after, len(page)

    async def _announce_page(self, after: uuid.UUID | None, *, dry_run: bool) -> list[uuid.UUID]:
        async def work(session: AsyncSession) -> list[uuid.UUID]:
            page = await revocations.list_tombstones(session, after, _PAGE)
            if not dry_run:
                for user_id, revision in page:
                    await self._append(session, user_deleted(user_id, revision))
            return [user_id for user_id, _ in page]

        return await self._database.transaction(work)

    async def _append(self, session: AsyncSession, event: Event) -> None:
        try:
            async with session.begin_nested():
                await self._outbox.append(session, event)
        except IntegrityError:
            # The same event waits already.
            return
