"""What a caller may see: remembered, confirmed in time, and never refused without asking."""

import logging
import time
import uuid
from collections import OrderedDict
from dataclasses import replace

from catalog.clients.subscriptions import SubscriptionsClient
from catalog.domain.entitlements import Entitlements
from catalog.domain.errors import EntitlementsUnavailableError
from catalog.domain.permission import Genres
from catalog.services.single_flight import SingleFlight
from catalog.storage.entitlements import EntitlementRepository
from chassis.clock import Clock
from chassis.http import PeerUnavailableError
from chassis.mongo import translate_outage
from chassis.tokens import Principal

_log = logging.getLogger(__name__)

# A cancellation has to be seen within 2 s of its commit, by way of an event that takes up to a second itself.
_REMEMBERED_SECONDS = 0.5
_REMEMBERED_USERS = 10_000


class EntitlementService:
    """Answers from the projection while it is fresh, and from subscription-service when it is not."""

    def __init__(self, repository: EntitlementRepository, subscriptions: SubscriptionsClient, clock: Clock) -> None:
        self._repository = repository
        self._subscriptions = subscriptions
        self._clock = clock
        self._flights: SingleFlight[uuid.UUID, Entitlements] = SingleFlight()
        self._memory: OrderedDict[uuid.UUID, tuple[float, Entitlements]] = OrderedDict()

    def remembered(self, user_id: uuid.UUID) -> Genres | None:
        """What the user may see, if that was looked up a moment ago and is fresh."""
        held = self._recall(user_id)
        now = self._clock()
        return held.genres_at(now) if held is not None and held.is_fresh(now) else None

    async def entitled(self, principal: Principal) -> Genres:
        """What the caller may see, at most 60 s after it was last confirmed.

        Raises `EntitlementsUnavailableError` when it cannot be confirmed and the last confirmation is older
        than 15 min, or there is none.
        """
        held = self._recall(principal.user_id)
        if held is None:
            async with translate_outage():
                held = await self._repository.find(principal.user_id)
            if held is not None:
                self._remember(held)
        if held is None or not held.is_fresh(self._clock()):
            held = await self._flights.do(principal.user_id, lambda: self._confirm(principal))
        return held.genres_at(self._clock())

    async def confirmed(self, principal: Principal) -> Genres:
        """As `entitled`, but asked for after this call: what a refusal has to be based on.

        While subscription-service does not answer, it is what was last known.
        """
        held = await self._flights.do_afresh(principal.user_id, lambda: self._confirm(principal))
        return held.genres_at(self._clock())

    async def _confirm(self, principal: Principal) -> Entitlements:
        async with translate_outage():
            held = await self._repository.find(principal.user_id)
            asked_at = self._clock()
            try:
                statement = await self._subscriptions.entitlements(principal.token, held.etag if held else None)
            except PeerUnavailableError as error:
                return self._unconfirmed(held, error)
            if statement is not None and statement.user_id != principal.user_id:
                _log.error("subscription-service answered about somebody else")
                raise EntitlementsUnavailableError
            if statement is not None:
                await self._repository.apply(statement)
                held = await self._repository.find(principal.user_id)
            elif held is not None and held.etag is not None:
                await self._repository.confirm(principal.user_id, held.etag, asked_at)
                held = replace(held, confirmed_at=asked_at)
        if held is None:
            raise EntitlementsUnavailableError
        self._remember(held)
        return held

    def _unconfirmed(self, held: Entitlements | None, error: PeerUnavailableError) -> Entitlements:
        if held is None or not held.is_usable(self._clock()):
            raise EntitlementsUnavailableError from error
        return held

    def _recall(self, user_id: uuid.UUID) -> Entitlements | None:
        read_at, held = self._memory.get(user_id, (float("-inf"), None))
        return held if time.monotonic() - read_at < _REMEMBERED_SECONDS else None

    def _remember(self, held: Entitlements) -> None:
        self._memory[held.user_id] = (time.monotonic(), held)
        self._memory.move_to_end(held.user_id)
        if len(self._memory) > _REMEMBERED_USERS:
            self._memory.popitem(last=False)
