"""Publishing what waits inside of documents."""

import asyncio
import logging
import random
from itertools import groupby

from prometheus_client import CollectorRegistry, Counter, Gauge

from catalog.storage.genres import GenreRepository, WaitingEvent
from catalog.storage.leases import Held
from chassis.events.publisher import Publisher, PublishError

_log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.3
_BACKOFF_SECONDS = (0.2, 5.0)


class RelayMetrics:
    """How the outbox is doing; named as those of the services with an SQL outbox."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("outbox_published", "Events published.", ("type",), registry=registry)
        self.failures = Counter("outbox_publish_failures", "Publishing attempts that failed.", registry=registry)
        self.depth = Gauge("outbox_depth", "Events that wait to be published.", registry=registry)


class OutboxRelay:
    """Publishes in order within a genre and forgets an event after the broker has confirmed it.

    One that dies in between publishes it again: consumers go by the revision.
    """

    def __init__(self, genres: GenreRepository, publisher: Publisher, metrics: RelayMetrics) -> None:
        self._genres = genres
        self._publisher = publisher
        self._metrics = metrics

    async def lead(self, _: Held) -> None:
        """Publish until cancelled; a broker that is away is waited for."""
        low, high = _BACKOFF_SECONDS
        backoff = low
        while True:
            if await self.publish_waiting():
                backoff = low
                await asyncio.sleep(_IDLE_SECONDS)
            else:
                await asyncio.sleep(random.uniform(low, backoff))  # noqa: S311 - jitter, no secret
                backoff = min(backoff * 2, high)

    async def publish_waiting(self) -> bool:
        """Publish everything that waits; False when something could not be."""
        waiting = await self._genres.waiting_events()
        self._metrics.depth.set(len(waiting))
        outcomes = [await self._publish_in_order(list(events)) for _, events in groupby(waiting, lambda e: e.genre_id)]
        return all(outcomes)

    async def _publish_in_order(self, events: list[WaitingEvent]) -> bool:
        for event in events:
            headers = {
                "cloudEvents_id": event.event_id,
                "cloudEvents_source": "/catalog",
                "cloudEvents_subject": event.subject,
                "cloudEvents_specversion": "1.0",
            }
            if event.traceparent:
                headers["traceparent"] = event.traceparent
            try:
                await self._publisher.publish_event(event.type, event.event_id, event.body, headers)
            except PublishError as error:
                self._metrics.failures.inc()
                _log.warning("event not published", extra={"event": event.event_id, "reason": str(error)[:300]})
                return False
            await self._genres.forget_event(event)
            self._metrics.published.labels(event.type).inc()
        return True
