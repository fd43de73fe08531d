"""Moving existing subscribers of a package to a newer version, in batches that any process can go on with."""

import logging
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.ids import new_id
from chassis.sql import Database
from subscription.domain.moves import SubscriberMove
from subscription.domain.packages import Package
from subscription.services.entitlements import EntitlementAnnouncer
from subscription.storage import audit
from subscription.storage.clock import DatabaseClock
from subscription.storage.entitlements import EntitlementRepository
from subscription.storage.moves import SubscriberMoveRepository
from subscription.storage.subscriptions import SubscriptionRepository

_log = logging.getLogger(__name__)
BATCH = 200
# A batch takes well under a second; what has been silent for this long was left by a request that died.
STALLED_AFTER = timedelta(seconds=5)


class SubscriberMoveService:
    """Records moves and carries them out."""

    def __init__(self, database: Database, clock: DatabaseClock, announcer: EntitlementAnnouncer) -> None:
        self._database = database
        self._clock = clock
        self._announcer = announcer

    async def record(self, session: AsyncSession, package: Package, by: uuid.UUID, now: datetime) -> uuid.UUID | None:
        """Store, in the session's transaction, that everybody is to be moved to the newest version.

        Returns the move's id; None when nobody has to be moved.
        """
        oldest = await SubscriptionRepository(session).oldest_version(package.id)
        if oldest is None or oldest >= package.version:
            return None
        move = SubscriberMove(new_id(), package.id, oldest, package.version, 0, is_finished=False)
        await SubscriberMoveRepository(session).insert(move, by, now)
        return move.id

    async def carry_out(self, move_id: uuid.UUID, *, budget_seconds: float) -> bool:
        """Move batch after batch until all are moved (True) or the time is up (False: a worker goes on)."""
        end = time.monotonic() + budget_seconds
        while not await self._database.transaction(lambda session: self._move_batch(session, move_id)):
            if time.monotonic() >= end:
                return False
        return True

    async def resume_stalled(self) -> int:
        """Finish the moves that requests or other workers have left; how many were taken up."""

        async def find(session: AsyncSession) -> list[uuid.UUID]:
            return await SubscriberMoveRepository(session).find_stalled(await self._clock(session), STALLED_AFTER)

        stalled = await self._database.read(find)
        for move_id in stalled:
            _log.info("finishing a move of subscribers", extra={"move": str(move_id)})
            await self.carry_out(move_id, budget_seconds=60)
        return len(stalled)

    async def _move_batch(self, session: AsyncSession, move_id: uuid.UUID) -> bool:
        """Move up to `BATCH` users; whether nobody is left. What is moved leaves the range that is read."""
        moves = SubscriberMoveRepository(session)
        move = await moves.find_for_batch(move_id)
        if move.is_finished:
            return True
        users = await SubscriptionRepository(session).older_subscribers(move.package_id, move.to_version, BATCH)
        now = await self._clock(session)
        moved = await self._move_users(session, move, users, now) if users else 0
        finished = len(users) < BATCH
        await moves.record_batch(move, moved, now, finished=finished)
        if finished:
            details = {
                "moveId": str(move.id),
                "fromVersion": move.from_version,
                "toVersion": move.to_version,
                "moved": move.moved + moved,
            }
            await audit.record(
                session, "package.subscribers-moved", move.package_id, now, actor_id=None, details=details
            )
        return finished

    async def _move_users(
        self, session: AsyncSession, move: SubscriberMove, users: Sequence[uuid.UUID], now: datetime
    ) -> int:
        subscriptions = SubscriptionRepository(session)
        await EntitlementRepository(session).lock(users)
        await subscriptions.expire_of_users(move.package_id, users, now)
        # Read again under the lock: some may have been cancelled or upgraded since.
        still = await subscriptions.older_of_users(move.package_id, move.to_version, users)
        if not still:
            return 0
        await subscriptions.set_version(list(still.values()), move.to_version)
        await self._announcer.announce(session, list(still), now)
        return len(still)
