"""Deleting what is no longer needed, a batch at a time so that no table is locked for long."""

from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.idempotency import IdempotencyKeys
from chassis.sql import Database, database_now
from identity.storage import expiry

_BATCH = 1000


class Housekeeping:
    """Retention: `audit` is how long audit entries are kept; the rest goes when nothing can refer to it any more."""

    def __init__(self, database: Database, idempotency: IdempotencyKeys, audit: timedelta) -> None:
        self._database = database
        self._idempotency = idempotency
        self._audit = audit

    async def sweep(self) -> int:
        """Delete everything that has had its time; how many rows that were."""
        deleted = 0
        for table in expiry.SWEPT:
            while count := await self._database.transaction(partial(self._sweep, table=table)):
                deleted += count
        while count := await self._database.transaction(lambda session: self._idempotency.sweep(session, _BATCH)):
            deleted += count
        return deleted

    async def _sweep(self, session: AsyncSession, *, table: str) -> int:
        now = await database_now(session)
        return await expiry.delete_expired(session, table, now, self._audit, _BATCH)
