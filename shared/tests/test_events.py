"""Outbox, relay, publisher and consumer on the real database and the real broker."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aio_pika
import pytest
from shop_events import (
    DOOR_OPENED,
    NOBODY_LISTENS,
    NOWHERE,
    QUEUE,
    TOPOLOGY,
    consumer_of,
    eventually,
    order,
    outbox,
    outbox_database,
    publish,
    running,
    wait_for_depth,
)
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import UnavailableError
from chassis.events import topology as topology_module
from chassis.events.broadcast import BroadcastListener
from chassis.events.connection import connected
from chassis.events.envelope import Event, decode, encode
from chassis.events.metrics import RelayMetrics
from chassis.events.publisher import Publisher, PublishError
from chassis.events.sql_outbox import SqlRelay
from chassis.events.topology import contracts_directory, load_topology
from chassis.metrics import new_registry
from chassis.sql import Database


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with outbox_database("outbox") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.transaction(lambda s: s.execute(outbox.events.delete()))
    await database.aclose()


@pytest.fixture
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(broker_url, "test-publisher", TOPOLOGY)
    yield publisher
    await publisher.aclose()


@pytest.fixture
async def _empty_queues(broker_url: str) -> AsyncIterator[None]:
    yield
    async with connected(broker_url, "test-purge", TOPOLOGY) as connection:
        channel = await connection.channel()
        spec = TOPOLOGY.queue(QUEUE)
        for name in (spec.name, spec.parked_queue, *(spec.retry_queue(d) for d in topology_module.RETRY_DELAYS)):
            await (await channel.get_queue(name)).purge()


async def depth(broker_url: str, queue: str) -> int:
    async with connected(broker_url, "test-depth", TOPOLOGY) as connection:
        channel = await connection.channel()
        return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0


def test_the_contract_topology_is_whole() -> None:
    topology = load_topology()
    for queue in topology.queues:
        for binding in queue.bindings:
            assert binding.exchange in topology.exchanges
            assert topology.exchange_of(binding.routing_key) == binding.exchange
    assert not {b.routing_key for q in topology.queues for b in q.bindings} & topology.broadcasts
    assert (contracts_directory() / "events" / "topology.json").is_file()


def test_a_topology_can_be_read_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "topology.json"
    file.write_text('{"exchanges": ["a.events"], "queues": [], "broadcasts": {"routingKeys": [], "listeners": {}}}')
    assert load_topology(file).exchanges == ("a.events",)


@pytest.mark.usefixtures("_empty_queues")
async def test_a_committed_change_reaches_the_consumer(
    database: Database, broker_url: str, publisher: Publisher
) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    events = [order(number) for number in range(40)]
    await database.transaction(lambda s: outbox.append_many(s, events))
    relay = SqlRelay(database, outbox, publisher, RelayMetrics(new_registry()))
    async with running(consumer_of(broker_url, publisher, handler)):
        published, failed = await relay.publish_waiting()
        assert (published, failed) == (40, 0)
        await eventually(lambda: len(seen) == 40)
    assert {event.id for event in seen} == {event.id for event in events}
    assert await database.read(lambda s: s.scalar(select(func.count()).select_from(outbox.events))) == 0


@pytest.mark.usefixtures("_empty_queues")
async def test_what_a_handler_makes_names_the_event_that_caused_it(broker_url: str, publisher: Publisher) -> None:
    made: list[Event] = []

    async def handler(event: Event) -> None:
        made.append(order(7))

    causes = [replace(order(number), correlation_id=f"request-{number}") for number in range(3)]
    async with running(consumer_of(broker_url, publisher, handler)):
        for cause in causes:
            await publish(publisher, cause)
        await eventually(lambda: len(made) == 3)
    assert {(event.causation_id, event.correlation_id) for event in made} == {
        (str(cause.id), cause.correlation_id) for cause in causes
    }
    assert decode(encode(made[0])).causation_id == made[0].causation_id
    assert order(7).causation_id is None


async def test_a_change_that_is_rolled_back_sends_nothing(database: Database) -> None:
    async def work(session: AsyncSession) -> None:
        await outbox.append(session, order(1))
        raise LookupError

    with pytest.raises(LookupError):
        await database.transaction(work)
    assert await database.read(lambda s: s.scalar(select(func.count()).select_from(outbox.events))) == 0


@pytest.mark.usefixtures("_empty_queues")
async def test_two_relays_keep_the_order_of_an_aggregate(
    database: Database, broker_url: str, publisher: Publisher
) -> None:
    seen: dict[str, list[int]] = {}

    async def handler(event: Event) -> None:
        seen.setdefault(event.subject, []).append(event.revision)

    for revision in range(1, 26):
        await database.transaction(
            lambda s, r=revision: outbox.append_many(s, [order(number, r) for number in range(8)])
        )
    second = Publisher(broker_url, "test-publisher-2", TOPOLOGY)
    relays = [SqlRelay(database, outbox, p, RelayMetrics(new_registry())) for p in (publisher, second)]
    await asyncio.gather(*(relay.publish_waiting() for relay in relays))
    await second.aclose()
    async with connected(broker_url, "test-order", TOPOLOGY) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(QUEUE)
        async with asyncio.timeout(20):
            while sum(map(len, seen.values())) < 200:
                message = await queue.get(no_ack=True, fail=False)
                if message:
                    await handler(decode(message.body))
    assert all(revisions == list(range(1, 26)) for revisions in seen.values())


async def test_an_unroutable_event_stays_in_the_outbox(database: Database, publisher: Publisher) -> None:
    lost = order(1, event_type=NOBODY_LISTENS)
    await database.transaction(lambda s: outbox.append(s, lost))
    relay = SqlRelay(database, outbox, publisher, RelayMetrics(new_registry()))
    assert await relay.publish_waiting() == (0, 1)
    row = await database.read(_row)
    assert row.attempts == 1
    assert row.last_error


async def _row(session: AsyncSession):  # type: ignore[no-untyped-def]
    return (await session.execute(select(outbox.events))).one()


async def test_a_broadcast_nobody_hears_is_no_fault(publisher: Publisher) -> None:
    await publish(publisher, order(1, event_type=DOOR_OPENED))


async def test_with_the_broker_away_events_wait(database: Database) -> None:
    away = Publisher(NOWHERE, "test-away", TOPOLOGY)
    await database.transaction(lambda s: outbox.append(s, order(1)))
    assert await SqlRelay(database, outbox, away, RelayMetrics(new_registry())).publish_waiting() == (0, 1)
    with pytest.raises(PublishError):
        await publish(away, order(2))


@pytest.mark.usefixtures("_empty_queues")
async def test_a_message_that_cannot_be_read_is_parked_and_the_others_flow(
    broker_url: str, publisher: Publisher
) -> None:
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)

    async with running(consumer_of(broker_url, publisher, handler)):
        for body in (b"{", encode(order(1, event_type="shop.order.changed.v9"))):
            await publisher.publish("", QUEUE, body, message_id="x", headers={})
        await publish(publisher, order(2))
        await eventually(lambda: len(seen) == 1)
        await wait_for_depth(broker_url, TOPOLOGY.queue(QUEUE).parked_queue, 2)
    assert await depth(broker_url, QUEUE) == 0


@pytest.mark.usefixtures("_empty_queues")
async def test_a_failing_event_goes_to_the_retry_ladder(broker_url: str, publisher: Publisher) -> None:
    calls: list[Event] = []

    async def handler(event: Event) -> None:
        calls.append(event)
        raise ValueError("cannot apply")

    async with running(consumer_of(broker_url, publisher, handler)):
        await publish(publisher, order(1))
        await wait_for_depth(broker_url, TOPOLOGY.queue(QUEUE).retry_queue("5s"), 1)
    assert len(calls) == 3


@pytest.mark.usefixtures("_empty_queues")
async def test_after_the_last_rung_it_is_parked_with_its_reason(broker_url: str, publisher: Publisher) -> None:
    async def handler(event: Event) -> None:
        raise ValueError("cannot apply")

    event = order(1)
    async with running(consumer_of(broker_url, publisher, handler)):
        await publisher.publish("", QUEUE, encode(event), message_id=str(event.id), headers={"x-attempt": 6})
        await wait_for_depth(broker_url, TOPOLOGY.queue(QUEUE).parked_queue, 1)
    async with connected(broker_url, "test-read", TOPOLOGY) as connection:
        channel = await connection.channel()
        parked = await (await channel.get_queue(TOPOLOGY.queue(QUEUE).parked_queue)).get(no_ack=True)
    assert parked.headers["x-error"] == "ValueError: cannot apply"
    assert parked.body == encode(event)


@pytest.mark.usefixtures("_empty_queues")
async def test_while_the_store_is_away_nothing_counts_as_a_failure(broker_url: str, publisher: Publisher) -> None:
    away = True
    seen: list[Event] = []

    async def handler(event: Event) -> None:
        seen.append(event)
        if away:
            raise UnavailableError

    async with running(consumer_of(broker_url, publisher, handler)):
        await publish(publisher, order(1))
        await eventually(lambda: len(seen) >= 3)
        away = False
        await wait_for_depth(broker_url, QUEUE, 0)
    spec = TOPOLOGY.queue(QUEUE)
    assert await depth(broker_url, spec.retry_queue("5s")) == 0
    assert await depth(broker_url, spec.parked_queue) == 0


@pytest.mark.usefixtures("_empty_queues")
async def test_a_stopped_consumer_finishes_what_it_has_begun(broker_url: str, publisher: Publisher) -> None:
    started, finish, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(event: Event) -> None:
        started.set()
        await finish.wait()
        done.set()

    async def let_go() -> None:
        await asyncio.sleep(0)
        finish.set()

    async with running(consumer_of(broker_url, publisher, handler)):
        await publish(publisher, order(1))
        await started.wait()
        going = asyncio.create_task(let_go())
    await going
    assert done.is_set()
    assert await depth(broker_url, QUEUE) == 0


async def test_a_broadcast_reaches_every_listener(broker_url: str, publisher: Publisher) -> None:
    # Of one name: as when a gateway connects anew while the broker still holds its old connection.
    heard: list[list[int]] = [[], []]
    bound = [asyncio.Event(), asyncio.Event()]

    async def on_bound(index: int) -> None:
        bound[index].set()

    listeners = [
        BroadcastListener(
            broker_url,
            "test-listener",
            TOPOLOGY,
            [DOOR_OPENED],
            lambda i=index: on_bound(i),
            lambda event, i=index: heard[i].append(event.revision),
        )
        for index in (0, 1)
    ]
    tasks = [asyncio.create_task(listener.run()) for listener in listeners]
    await eventually(lambda: all(listener.is_listening for listener in listeners))
    await publish(publisher, order(1, 5, DOOR_OPENED))
    await eventually(lambda: heard == [[5], [5]])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_messages_are_persistent(publisher: Publisher, broker_url: str) -> None:
    await publish(publisher, order(1))
    async with connected(broker_url, "test-peek", TOPOLOGY) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue(QUEUE)).get(no_ack=True)
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
