"""The figures that alerts are made of change when they should; on the real servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from shop_events import CHANGED, HEARTBEAT, NOBODY_LISTENS, NOWHERE, SPEC, TOPOLOGY, outbox, outbox_database
from shop_events import publish as send

from chassis.clock import utc_now
from chassis.events import consumer as consumer_module
from chassis.events.consumer import Consumer, Handler
from chassis.events.envelope import Event
from chassis.events.metrics import ConsumerMetrics, RelayMetrics
from chassis.events.publisher import Publisher
from chassis.events.sql_outbox import SqlRelay
from chassis.metrics import new_registry
from chassis.sql import Database
from chassis.testing.servers import broker_vhost


def order(number: int, event_type: str = CHANGED, *, seconds_ago: float = 0) -> Event:
    at = utc_now() - timedelta(seconds=seconds_ago)
    return Event(event_type, "/shop", f"order/{number}", {"revision": 1}, time=at)


class Figures:
    """What Prometheus would read."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = new_registry()

    def of(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    async def until(self, name: str, expected: float, **labels: str) -> None:
        try:
            async with asyncio.timeout(20):
                while self.of(name, **labels) != expected:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{name} is {self.of(name, **labels)} and not {expected}") from None


@pytest.fixture
def figures() -> Figures:
    return Figures()


@pytest.fixture
def vhost() -> Iterator[str]:
    with broker_vhost("metrics") as url:
        yield url


@pytest.fixture
async def publisher(vhost: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(vhost, "test-publisher", TOPOLOGY)
    yield publisher
    await publisher.aclose()


@pytest.fixture(scope="module")
async def database() -> AsyncIterator[Database]:
    with outbox_database("metrics") as url:
        database = Database(url)
        yield database
        await database.aclose()


@asynccontextmanager
async def consuming(vhost: str, publisher: Publisher, handler: Handler, figures: Figures) -> AsyncIterator[None]:
    metrics = ConsumerMetrics(figures.registry)
    consumer = Consumer(vhost, "test-consumer", TOPOLOGY, SPEC.name, {CHANGED: handler}, publisher, metrics)
    task = asyncio.create_task(consumer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_the_outbox_shows_depth_age_and_failures_while_the_broker_is_away(
    database: Database, vhost: str, figures: Figures
) -> None:
    publisher = Publisher(NOWHERE, "test-away", TOPOLOGY)
    relay = SqlRelay(database, outbox, publisher, RelayMetrics(figures.registry))
    await relay.publish_waiting()
    assert (figures.of("outbox_depth"), figures.of("outbox_oldest_seconds")) == (0, 0)
    before = figures.of("outbox_publish_failures_total") or 0

    await database.transaction(lambda session: outbox.append_many(session, [order(n) for n in range(3)]))
    relay._measured_at = 0
    await relay.publish_waiting()
    assert figures.of("outbox_depth") == 3
    assert (figures.of("outbox_publish_failures_total") or 0) > before
    first = figures.of("outbox_oldest_seconds") or 0
    assert first > 0
    relay._measured_at = 0
    await relay.publish_waiting()
    assert (figures.of("outbox_oldest_seconds") or 0) > first

    publisher._broker_url = vhost
    async with asyncio.timeout(20):
        while await relay.publish_waiting() != (0, 0):
            await asyncio.sleep(0.05)
    await publisher.aclose()
    assert (figures.of("outbox_depth"), figures.of("outbox_oldest_seconds")) == (0, 0)
    assert figures.of("outbox_published_total", type=CHANGED) == 3


async def test_a_refused_event_counts_as_a_failure(database: Database, publisher: Publisher, figures: Figures) -> None:
    relay = SqlRelay(database, outbox, publisher, RelayMetrics(figures.registry))
    await database.transaction(lambda session: outbox.append(session, order(1, NOBODY_LISTENS)))
    await relay.publish_waiting()
    assert figures.of("outbox_publish_failures_total") == 1
    await database.transaction(lambda session: session.execute(outbox.events.delete()))


async def test_a_queue_shows_its_lag_in_messages_and_seconds_and_what_is_parked(
    vhost: str, publisher: Publisher, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "_WATCHDOG_SECONDS", 0.1)
    go_on = asyncio.Event()

    async def handler(event: Event) -> None:
        await go_on.wait()

    queue = {"queue": SPEC.name}
    async with consuming(vhost, publisher, handler, figures):
        await figures.until("event_queue_waiting", 0, **queue)
        for number in range(consumer_module.PREFETCH + 5):
            await send(publisher, order(number, seconds_ago=90))
        await figures.until("event_queue_waiting", 5, **queue)
        assert figures.of("event_lag_seconds_count", **queue) is None
        await publisher.publish("", SPEC.parked_queue, b"{}", message_id="x", headers={})
        await figures.until("event_queue_parked", 1, **queue)
        go_on.set()
        await figures.until("event_lag_seconds_count", consumer_module.PREFETCH + 5, **queue)
        await figures.until("event_queue_waiting", 0, **queue)
    assert (figures.of("event_lag_seconds_sum", **queue) or 0) >= 90 * (consumer_module.PREFETCH + 5)
    assert figures.of("event_lag_seconds_bucket", **queue, le="60.0") == 0
    assert figures.of("event_messages_total", **queue, outcome="applied") == consumer_module.PREFETCH + 5


async def test_the_last_heartbeat_is_known_by_its_time(vhost: str, publisher: Publisher, figures: Figures) -> None:
    async def handler(event: Event) -> None:
        return

    name, queue = "event_last_heartbeat_timestamp_seconds", {"queue": SPEC.name}
    began = time.time()
    async with consuming(vhost, publisher, handler, figures):
        await send(publisher, order(1))
        await figures.until("event_messages_total", 1, **queue, outcome="applied")
        assert figures.of(name, **queue) is None, "only heartbeats say that the producers are there"
        for count in (1, 2):
            await send(publisher, order(1, HEARTBEAT))
            await figures.until("event_messages_total", count, **queue, outcome="heartbeat")
            heard = figures.of(name, **queue) or 0
            assert began <= heard <= time.time()
            began = time.time()
    # While nothing is heard it stays, so that its distance from now grows.
    assert figures.of(name, **queue) == heard
