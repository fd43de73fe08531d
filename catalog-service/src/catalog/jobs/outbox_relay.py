"""Publishing what waits inside of documents."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from itertools import groupby

from catalog.storage.genres import GenreRepository, WaitingEvent
from catalog.storage.leases import Held
from chassis.clock import utc_now
from chassis.events.envelope import decode, encode, headers_of
from chassis.events.metrics import RelayMetrics
from chassis.events.publisher import Publisher, PublishError
from chassis.events.pulse import HEARTBEAT_SECONDS, heartbeat

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.3
_BACKOFF_SECONDS = (0.2, 5.0)


class OutboxRelay:
    """Publishes in order within a genre and forgets an event after the broker has confirmed it.

    One that dies in between publishes it again: consumers go by the revision.
    """

    def __init__(self, genres: GenreRepository, publisher: Publisher, metrics: RelayMetrics) -> None:
        self._genres = genres
        self._publisher = publisher
        self._metrics = metrics
        self._heartbeat_at = 0.0

    async def lead(self, _: Held) -> None:
        """Publish until cancelled; a broker that is away is waited for."""
        try:
            await self._publish_for_ever()
        finally:
            # Whoever leads next knows better.
            self._metrics.depth.set(0)
            self._metrics.age.set(0)

    async def _publish_for_ever(self) -> None:
        low, high = _BACKOFF_SECONDS
        backoff = low
        while True:
            if await self.publish_waiting() and await self._send_heartbeat():
                backoff = low
                await asyncio.sleep(_IDLE_SECONDS)
            else:
                await asyncio.sleep(random.uniform(low, backoff))  # noqa: S311 - jitter, no secret
                backoff = min(backoff * 2, high)

    async def publish_waiting(self) -> bool:
        """Publish everything that waits; False when something could not be."""
        waiting = await self._genres.waiting_events()
        self._metrics.depth.set(len(waiting))
        self._metrics.age.set(_oldest_seconds(waiting))
        outcomes = [await self._publish_in_order(list(events)) for _, events in groupby(waiting, lambda e: e.genre_id)]
        return all(outcomes)

    async def _send_heartbeat(self) -> bool:
        """By which listeners know that the way to them works; not stored, because the outbox has just been read."""
        now = time.monotonic()
        if now < self._heartbeat_at:
            return True
        self._heartbeat_at = now + HEARTBEAT_SECONDS
        event = heartbeat("catalog", "outbox")
        try:
            await self._publisher.publish_event(event.type, str(event.id), encode(event), {})
        except PublishError as error:
            self._metrics.failures.inc()
            _log.warning("heartbeat not published", extra={"reason": str(error)[:300]})
            return False
        return True

    async def _publish_in_order(self, events: list[WaitingEvent]) -> bool:
        for event in events:
            try:
                await self._publisher.publish_event(
                    event.type, event.event_id, event.body, headers_of(decode(event.body))
                )
            except PublishError as error:
                self._metrics.failures.inc()
                _log.warning("event not published", extra={"event": event.event_id, "reason": str(error)[:300]})
                return False
            await self._genres.forget_event(event)
            self._metrics.published.labels(event.type).inc()
        return True


def _oldest_seconds(waiting: Sequence[WaitingEvent]) -> float:
    times = [decode(event.body).time for event in waiting]
    return max(0.0, (utc_now() - min(times)).total_seconds()) if times else 0.0
