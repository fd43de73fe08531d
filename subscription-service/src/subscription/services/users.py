"""What becomes of a user's data when identity-service deletes the user."""

import uuid

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import Database
from subscription.services.entitlements import EntitlementAnnouncer
from subscription.storage import audit
from subscription.storage.clock import DatabaseClock
from subscription.storage.entitlements import EntitlementRepository
from subscription.storage.subscriptions import SubscriptionRepository


class UserService:
    """Erases users."""

    def __init__(self, database: Database, clock: DatabaseClock, announcer: EntitlementAnnouncer) -> None:
        self._database = database
        self._clock = clock
        self._announcer = announcer

    async def forget(self, user_id: uuid.UUID) -> None:
        """End and erase the user's subscriptions and never take new ones; repeating it changes nothing."""

        async def work(session: AsyncSession) -> None:
            now = await self._clock(session)
            entitlements = EntitlementRepository(session)
            await entitlements.lock([user_id])
            is_news = await entitlements.mark_deleted(user_id, now)
            ended = await SubscriptionRepository(session).delete_of_user(user_id)
            if ended:
                await self._announcer.announce(session, [user_id], now)
            if is_news:
                await audit.record(session, "user.forgotten", user_id, now, actor_id=None, details={"ended": ended})

        await self._database.transaction(work)
