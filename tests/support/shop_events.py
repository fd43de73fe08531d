"""A shop whose orders are events to its till: what the tests of outbox, publisher and consumers have in common."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aio_pika
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine, insert

from chassis.events.connection import BrokerConnectionLostError
from chassis.events.consumer import Consumer, Handler
from chassis.events.envelope import Event, encode
from chassis.events.metrics import ConsumerMetrics
from chassis.events.publisher import Publisher
from chassis.events.sql_outbox import SHARDS, SqlOutbox
from chassis.events.topology import Binding, QueueSpec, Topology
from chassis.metrics import new_registry
from chassis.sql import driver_url, new_metadata
from chassis.testing.servers import mysql_database

CHANGED = "shop.order.changed.v1"
DOOR_OPENED = "shop.door.opened.v1"
HEARTBEAT = "shop.heartbeat.v1"
NOBODY_LISTENS = "shop.nobody.listens.v1"
QUEUE = "till.orders.v1"
SPEC = QueueSpec(QUEUE, (Binding("shop.events", CHANGED),))
TOPOLOGY = Topology(exchanges=("shop.events",), queues=(SPEC,), broadcasts=frozenset({DOOR_OPENED}))
NOWHERE = "amqp://nobody:x@127.0.0.1:9/"
metadata = new_metadata()
outbox = SqlOutbox(metadata)


def order(number: int, revision: int = 1, event_type: str = CHANGED) -> Event:
    return Event(event_type, "/shop", f"order/{number}", {"orderId": number, "revision": revision})


@contextmanager
def outbox_database(prefix: str) -> Iterator[str]:
    """The URL of a database with an empty outbox."""
    with mysql_database(prefix) as url:
        engine = create_engine(driver_url(url, "pymysql"))
        metadata.create_all(engine)
        with engine.begin() as connection:
            connection.execute(insert(outbox.shards), [{"shard": n} for n in range(SHARDS)])
        engine.dispose()
        yield url


async def eventually(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def consumer_of(
    broker_url: str, publisher: Publisher, handler: Handler, registry: CollectorRegistry | None = None
) -> Consumer:
    handlers = {CHANGED: handler}
    metrics = ConsumerMetrics(registry or new_registry())
    return Consumer(broker_url, "test-consumer", TOPOLOGY, QUEUE, handlers, publisher, metrics)


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(consumer.run())
    try:
        await eventually(lambda: consumer.is_consuming or task.done())
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, BrokerConnectionLostError):
            await task


async def publish(publisher: Publisher, event: Event) -> None:
    await publisher.publish_event(event.type, str(event.id), encode(event), {})


@asynccontextmanager
async def channel_to(broker_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    connection = await aio_pika.connect(broker_url)
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def wait_for_depth(broker_url: str, queue: str, expected: int) -> None:
    async with asyncio.timeout(20), channel_to(broker_url) as channel:
        while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count != expected:
            await asyncio.sleep(0.05)


async def take(broker_url: str, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    async with channel_to(broker_url) as channel:
        message = await (await channel.get_queue(queue)).get(no_ack=True)
        assert message is not None
        return message
