"""Subscribing, upgrading and cancelling."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import FieldError, ForbiddenError
from chassis.idempotency import Answer, IdempotentRequest
from chassis.ids import new_id
from chassis.pagination import Slice
from chassis.sql import Database
from chassis.tokens import Principal
from subscription.clients.identity import IdentityClient
from subscription.domain.entitlements import Entitlements
from subscription.domain.errors import (
    AlreadySubscribedError,
    PackageArchivedError,
    PackageNotFoundError,
    SubscriptionLimitReachedError,
    SubscriptionNotActiveError,
    SubscriptionNotFoundError,
    UnknownUserError,
)
from subscription.domain.genres import require_no_repeats
from subscription.domain.packages import Package, PackageStatus
from subscription.domain.subscriptions import (
    MAX_ACTIVE_SUBSCRIPTIONS,
    Subscription,
    SubscriptionOrder,
    SubscriptionQuery,
    SubscriptionStatus,
    require_future,
)
from subscription.services.creation import Creator
from subscription.services.entitlements import EntitlementAnnouncer
from subscription.storage import audit
from subscription.storage.clock import DatabaseClock
from subscription.storage.entitlements import EntitlementRepository
from subscription.storage.packages import PackageRepository
from subscription.storage.subscriptions import SubscriptionRepository


@dataclass(frozen=True, slots=True)
class BulkOutcome:
    """How many of the users were subscribed, and how many were already."""

    created: int
    already_subscribed: int


class SubscriptionService:
    """Subscriptions of the caller, or of anybody for an administrator."""

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        creator: Creator,
        identity: IdentityClient,
        announcer: EntitlementAnnouncer,
    ) -> None:
        self._database = database
        self._clock = clock
        self._creator = creator
        self._identity = identity
        self._announcer = announcer

    async def subscribe(
        self,
        caller: Principal,
        order: SubscriptionOrder,
        request: IdempotentRequest | None,
        answer: Callable[[Subscription], Answer],
    ) -> Answer:
        """Subscribe the caller, the only user of `order`, to the newest version.

        Raises `PackageNotFoundError`, `PackageArchivedError`, `AlreadySubscribedError`,
        `SubscriptionLimitReachedError`, `InvalidRequestError` for an end that is past, and `ForbiddenError`
        for a deleted user whose access token is still valid.
        """

        async def nothing() -> None:
            return None

        async def effect(session: AsyncSession, _: None) -> Answer:
            entitlements = EntitlementRepository(session)
            now = await self._clock(session)
            require_future(order.expires_at, now)
            package = await _subscribable(session, order.package_id)
            await entitlements.lock(order.user_ids)
            if await entitlements.deleted_among(order.user_ids):
                raise ForbiddenError("This user has been deleted. Register again to subscribe.")
            created = await self._add(session, package, order, caller, now)
            if not created:
                raise AlreadySubscribedError
            return answer(created[0])

        return await self._creator.create(request, nothing, effect)

    async def subscribe_many(
        self,
        caller: Principal,
        order: SubscriptionOrder,
        request: IdempotentRequest | None,
        answer: Callable[[BulkOutcome], Answer],
    ) -> Answer:
        """Subscribe several users (at most 1000) to the newest version, all or nothing.

        Those who are subscribed already are left as they are. Raises `UnknownUserError`, `PackageNotFoundError`,
        `PackageArchivedError`, `SubscriptionLimitReachedError`, `PeerUnavailableError` and
        `InvalidRequestError` for a repeated id or an end that is past.
        """
        user_ids = order.user_ids
        require_no_repeats("/userIds", user_ids)

        async def check() -> None:
            _require_subscribable(
                await self._database.read(lambda session: PackageRepository(session).find(order.package_id))
            )
            _require_users(user_ids, await self._identity.find_active_users(user_ids))

        async def effect(session: AsyncSession, _: None) -> Answer:
            now = await self._clock(session)
            require_future(order.expires_at, now)
            package = await _subscribable(session, order.package_id)
            entitlements = EntitlementRepository(session)
            await entitlements.lock(user_ids)
            _require_users(user_ids, set(user_ids) - await entitlements.deleted_among(user_ids))
            created = await self._add(session, package, order, caller, now)
            details = {"packageVersion": package.version, "userIds": [str(one.user_id) for one in created]}
            await audit.record(
                session, "package.users-subscribed", package.id, now, actor_id=caller.user_id, details=details
            )
            return answer(BulkOutcome(len(created), len(user_ids) - len(created)))

        return await self._creator.create(request, check, effect)

    async def _add(
        self, session: AsyncSession, package: Package, order: SubscriptionOrder, author: Principal, now: datetime
    ) -> list[Subscription]:
        """Subscribe those of the (locked) users who are not."""
        subscriptions = SubscriptionRepository(session)
        await subscriptions.expire_of_users(package.id, order.user_ids, now)
        subscribed = await subscriptions.subscribers_among(package.id, order.user_ids, now)
        wanting = sorted(set(order.user_ids) - subscribed)
        if not wanting:
            return []
        new = [_new_subscription(package, user, order.expires_at, now) for user in wanting]
        await subscriptions.insert(new, author.user_id)
        _require_within_limit(await self._announcer.announce(session, wanting, now))
        return new

    async def get_subscription(self, caller: Principal, subscription_id: uuid.UUID) -> Subscription:
        """The subscription. Raises `SubscriptionNotFoundError`, also when it is somebody else's."""

        async def work(session: AsyncSession) -> Subscription:
            return await _owned(session, caller, subscription_id, await self._clock(session))

        return await self._database.read(work)

    async def list_subscriptions(self, caller: Principal, query: SubscriptionQuery) -> Slice[Subscription]:
        """A page of subscriptions. Raises `ForbiddenError` for somebody else's unless by an administrator."""
        if not caller.is_admin and query.user_id != caller.user_id:
            raise ForbiddenError(
                "Only an administrator may list other users' subscriptions. Leave 'userId' out to list your own."
            )

        async def work(session: AsyncSession) -> Slice[Subscription]:
            return await SubscriptionRepository(session).list_subscriptions(query, await self._clock(session))

        return await self._database.read(work)

    async def upgrade(self, caller: Principal, subscription_id: uuid.UUID) -> Subscription:
        """Move the subscription to its package's newest version, archived or not; no change if it is there.

        Raises `SubscriptionNotFoundError`, `SubscriptionNotActiveError`.
        """

        async def work(session: AsyncSession) -> Subscription:
            now = await self._clock(session)
            before = await _owned(session, caller, subscription_id, now)
            package = await PackageRepository(session).find_for_subscription(before.package_id)
            await EntitlementRepository(session).lock([before.user_id])
            before = await _owned(session, caller, subscription_id, now)
            if before.status is not SubscriptionStatus.ACTIVE:
                raise SubscriptionNotActiveError
            if package is None or before.package_version >= package.version:
                return before
            await SubscriptionRepository(session).set_version([subscription_id], package.version)
            await self._announcer.announce(session, [before.user_id], now)
            await _audit_foreign(session, "subscription.upgraded", caller, before, now)
            return await _owned(session, caller, subscription_id, now)

        return await self._database.transaction(work)

    async def cancel(self, caller: Principal, subscription_id: uuid.UUID) -> None:
        """End the subscription now; one that has ended stays as it is. Raises `SubscriptionNotFoundError`."""

        async def work(session: AsyncSession) -> None:
            now = await self._clock(session)
            found = await _owned(session, caller, subscription_id, now)
            await EntitlementRepository(session).lock([found.user_id])
            if await SubscriptionRepository(session).cancel(subscription_id, now):
                await self._announcer.announce(session, [found.user_id], now)
                await _audit_foreign(session, "subscription.cancelled", caller, found, now)

        await self._database.transaction(work)

    async def mark_expired(self, limit: int) -> int:
        """Mark what has expired: bookkeeping, because reading looks at the time itself. How many."""

        async def work(session: AsyncSession) -> int:
            return await SubscriptionRepository(session).mark_expired(await self._clock(session), limit)

        return await self._database.transaction(work)


async def _subscribable(session: AsyncSession, package_id: uuid.UUID) -> Package:
    """The package, locked against becoming another version or archived before the transaction ends."""
    return _require_subscribable(await PackageRepository(session).find_for_subscription(package_id))


def _require_subscribable(package: Package | None) -> Package:
    if package is None:
        raise PackageNotFoundError
    if package.status is PackageStatus.ARCHIVED:
        raise PackageArchivedError
    return package


async def _owned(session: AsyncSession, caller: Principal, subscription_id: uuid.UUID, now: datetime) -> Subscription:
    found = await SubscriptionRepository(session).find(subscription_id, now)
    if found is None or (found.user_id != caller.user_id and not caller.is_admin):
        raise SubscriptionNotFoundError
    return found


def _new_subscription(package: Package, user_id: uuid.UUID, expires_at: datetime | None, now: datetime) -> Subscription:
    return Subscription(
        id=new_id(),
        user_id=user_id,
        package_id=package.id,
        package_name=package.name,
        package_version=package.version,
        genres=package.genres,
        status=SubscriptionStatus.ACTIVE,
        created_at=now,
        expires_at=expires_at,
        cancelled_at=None,
    )


def _require_users(asked: Sequence[uuid.UUID], active: set[uuid.UUID]) -> None:
    refused = [
        FieldError(f"/userIds/{index}", f"{user_id} is not the id of an active user")
        for index, user_id in enumerate(asked)
        if user_id not in active
    ]
    if refused:
        raise UnknownUserError(errors=refused)


def _require_within_limit(changed: Sequence[Entitlements]) -> None:
    if any(len(entitlements.grants) > MAX_ACTIVE_SUBSCRIPTIONS for entitlements in changed):
        raise SubscriptionLimitReachedError


async def _audit_foreign(
    session: AsyncSession, action: str, caller: Principal, subscription: Subscription, now: datetime
) -> None:
    """What an administrator does to somebody else's subscription is on record."""
    if caller.user_id != subscription.user_id:
        details = {"userId": str(subscription.user_id), "packageId": str(subscription.package_id)}
        await audit.record(session, action, subscription.id, now, actor_id=caller.user_id, details=details)
