"""Events out and in: the relay with a real broker, and the consumer of entitlements."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import aio_pika
import orjson
import pytest

from catalog.consumers.entitlements import QUEUE, EntitlementsConsumer
from catalog.domain.events import ENTITLEMENTS_CHANGED, GENRE_CHANGED
from catalog.domain.genres import GenreChanges
from catalog.jobs.outbox_relay import OutboxRelay
from catalog.storage.leases import Held
from chassis.deadlines import stop
from chassis.events.consumer import Consumer, ConsumerMetrics
from chassis.events.envelope import Event, decode, encode
from chassis.events.metrics import RelayMetrics
from chassis.events.publisher import Publisher, PublishError
from chassis.events.topology import contracts_directory, load_topology
from chassis.ids import new_id
from chassis.metrics import new_registry


@pytest.fixture
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    made = Publisher(broker_url, "catalog-test", load_topology())
    yield made
    await made.aclose()


@pytest.fixture
async def _changed_genres(resources: Any) -> None:
    now = datetime.now(UTC)
    for changes in (
        GenreChanges(added={28: "Action", 35: "Comedy"}),
        GenreChanges(renamed={28: "Action!"}),
        GenreChanges(retired={28: "Action!"}),
    ):
        await resources.genres.apply(changes, now, 0)


async def drain(broker_url: str, queue: str) -> list[Event]:
    """All events that wait in a queue."""
    connection = await aio_pika.connect(broker_url)
    async with connection:
        channel = await connection.channel()
        waiting = await channel.get_queue(queue)
        events = []
        while (message := await waiting.get(fail=False)) is not None:
            events.append(decode(message.body))
            await message.ack()
        return events


@pytest.mark.usefixtures("_changed_genres")
async def test_everything_that_waits_is_published_in_order_and_once(
    resources: Any, publisher: Publisher, broker_url: str
) -> None:
    await publisher.connect()
    await drain(broker_url, "watch.genres.v1")
    relay = OutboxRelay(resources.genres, publisher, RelayMetrics(new_registry()))

    assert await relay.publish_waiting()
    assert await relay.publish_waiting()

    events = await drain(broker_url, "watch.genres.v1")
    assert {event.type for event in events} == {GENRE_CHANGED}
    assert [event.data for event in events if event.subject == "genre/28"] == [
        {"genreId": 28, "revision": 1, "name": "Action", "status": "active"},
        {"genreId": 28, "revision": 2, "name": "Action!", "status": "active"},
        {"genreId": 28, "revision": 3, "name": "Action!", "status": "retired"},
    ]
    assert len([event for event in events if event.subject == "genre/35"]) == 1
    assert await resources.genres.waiting_events() == []


@pytest.mark.usefixtures("_changed_genres")
async def test_without_a_broker_events_wait_in_order(resources: Any) -> None:
    class Unreliable:
        """Takes the first event and refuses the next."""

        def __init__(self) -> None:
            self.taken: list[str] = []

        async def publish_event(self, event_type: str, event_id: str, body: bytes, headers: Any) -> None:
            if self.taken:
                raise PublishError("no broker")
            self.taken.append(event_id)

    unreliable = Unreliable()
    relay = OutboxRelay(resources.genres, unreliable, RelayMetrics(new_registry()))  # type: ignore[arg-type]

    assert not await relay.publish_waiting()

    waiting = [event for event in await resources.genres.waiting_events() if event.genre_id == 28]
    assert [orjson.loads(event.body)["data"]["revision"] for event in waiting] == [2, 3]


@pytest.mark.usefixtures("_changed_genres")
async def test_the_outbox_shows_its_depth_its_age_and_its_failures(
    resources: Any, publisher: Publisher, broker_url: str
) -> None:
    registry = new_registry()
    away = Publisher("amqp://nobody:x@127.0.0.1:9/", "catalog-away", load_topology())
    relay = OutboxRelay(resources.genres, away, RelayMetrics(registry))
    assert not await relay.publish_waiting()
    first = registry.get_sample_value("outbox_oldest_seconds") or 0
    assert (registry.get_sample_value("outbox_depth"), first > 0) == (4, True)
    assert (registry.get_sample_value("outbox_publish_failures_total") or 0) >= 2
    await relay.publish_waiting()
    assert (registry.get_sample_value("outbox_oldest_seconds") or 0) > first

    relay = OutboxRelay(resources.genres, publisher, RelayMetrics(registry := new_registry()))
    leading = asyncio.create_task(relay.lead(Held("outbox", 1)))
    async with asyncio.timeout(20):
        while await resources.genres.waiting_events() or registry.get_sample_value("outbox_depth") != 0:
            await asyncio.sleep(0.05)
    # Whoever leads also says that the way is open.
    async with asyncio.timeout(20):
        while not [e for e in await drain(broker_url, "watch.genres.v1") if e.type == "catalog.heartbeat.v1"]:
            await asyncio.sleep(0.05)
    await stop(leading)
    assert registry.get_sample_value("outbox_oldest_seconds") == 0


def entitlements_event(user_id: Any, revision: int, *genre_ids: int, at: datetime | None = None) -> Event:
    return Event(
        type=ENTITLEMENTS_CHANGED,
        source="/subscription",
        subject=f"entitlements/{user_id}",
        time=at or datetime.now(UTC),
        data={
            "userId": str(user_id),
            "revision": revision,
            "grants": [
                {
                    "subscriptionId": str(new_id()),
                    "packageId": str(new_id()),
                    "packageVersion": 1,
                    "genreIds": list(genre_ids),
                    "validUntil": None,
                }
            ],
        },
    )


async def test_the_example_of_the_contract_is_understood(resources: Any) -> None:
    path = contracts_directory() / "events" / f"{ENTITLEMENTS_CHANGED}.example.json"
    event = decode(path.read_bytes())

    await EntitlementsConsumer(resources.entitlements, resources.clock).changed(event)

    held = await resources.entitlements.find(UUID(event.data["userId"]))
    assert held.revision == event.revision
    assert held.genres_at(datetime(2026, 12, 1, tzinfo=UTC)) == {28, 35, 10751}
    assert held.genres_at(datetime(2027, 1, 1, tzinfo=UTC)) == {10751}


async def test_events_in_any_order_and_twice_leave_the_newest(resources: Any, person: Any) -> None:
    consumer = EntitlementsConsumer(resources.entitlements, resources.clock)
    user_id = person().id
    events = [entitlements_event(user_id, revision, revision) for revision in range(1, 11)]

    for event in [*reversed(events), *events]:
        await consumer.changed(event)

    held = await resources.entitlements.find(user_id)
    assert (held.revision, held.genres_at(datetime.now(UTC))) == (10, {10})


async def test_an_event_that_was_long_under_way_confirms_nothing(resources: Any, person: Any) -> None:
    user_id = person().id
    consumer = EntitlementsConsumer(resources.entitlements, resources.clock)

    await consumer.changed(entitlements_event(user_id, 1, 28, at=datetime.now(UTC) - timedelta(minutes=3)))
    assert not (await resources.entitlements.find(user_id)).is_fresh(datetime.now(UTC))

    await consumer.changed(entitlements_event(user_id, 2, 28, at=datetime.now(UTC) + timedelta(hours=1)))
    held = await resources.entitlements.find(user_id)
    assert held.confirmed_at <= datetime.now(UTC)


async def test_a_cancellation_is_seen_within_two_seconds(  # noqa: PLR0913 - fixtures
    resources: Any, publisher: Publisher, broker_url: str, client: Any, person: Any, store: Any, movie: Any
) -> None:
    await store([movie(1, 28), movie(2, 35)], {28: "Action", 35: "Comedy"})
    reader = person(28, 35)
    assert len((await client.get("/v1/movies", headers=reader.headers)).json()["data"]) == 2
    consumer = Consumer(
        broker_url,
        "catalog-test",
        load_topology(),
        QUEUE,
        {ENTITLEMENTS_CHANGED: EntitlementsConsumer(resources.entitlements, resources.clock).changed},
        publisher,
        ConsumerMetrics(new_registry()),
    )
    task = asyncio.create_task(consumer.run())
    try:
        async with asyncio.timeout(15):
            while not consumer.is_consuming:
                await asyncio.sleep(0.02)
        event = entitlements_event(reader.id, 2, 28)
        await publisher.publish_event(event.type, str(event.id), encode(event), {})

        async with asyncio.timeout(2):
            while len((await client.get("/v1/movies", headers=reader.headers)).json()["data"]) != 1:
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
