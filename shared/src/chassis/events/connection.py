"""A connection to the broker that is rebuilt by us.

aio-pika's robust connections restore themselves in the background, and several ways are known in which a
consumer is then silently gone. Here a lost connection is an error that ends whatever used it; the task that
owns it starts from the beginning: connect, declare, consume.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from yarl import URL

from chassis.events.topology import Topology, declare

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
# A half-open connection is noticed after about three of these; the library's default would take three minutes.
HEARTBEAT_SECONDS = 10


class BrokerConnectionLostError(Exception):
    """The connection or a channel is gone."""


@asynccontextmanager
async def connected(broker_url: str, name: str, topology: Topology) -> AsyncIterator[AbstractConnection]:
    """An open connection, with all of `topology` declared; closed at the end.

    `name` is what an operator sees in the broker's list of connections.
    """
    url = URL(broker_url).update_query(heartbeat=str(HEARTBEAT_SECONDS), name=name)
    async with asyncio.timeout(CONNECT_SECONDS):
        connection = await aio_pika.connect(url, timeout=CONNECT_SECONDS)
    try:
        async with asyncio.timeout(CONNECT_SECONDS * 2):
            await declare_on(connection, topology)
        yield connection
    finally:
        try:
            async with asyncio.timeout(3):
                await connection.close()
        except Exception as error:  # noqa: BLE001 - it is going away whatever happens
            _log.debug("connection did not close cleanly: %s", error)


async def declare_on(connection: AbstractConnection, topology: Topology) -> None:
    """Declare on a channel of its own: a refused declaration closes the channel it was made on."""
    channel = await connection.channel()
    try:
        await declare(channel, topology)
    finally:
        await channel.close()


def _signal() -> tuple["asyncio.Future[None]", Callable[..., None]]:
    """A future, and a callback that ends it however often it is called and with whatever."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finish(*_: object) -> None:
        if not future.done():
            future.set_result(None)

    return future, finish


def closed(resource: AbstractConnection | AbstractChannel) -> "asyncio.Future[None]":
    """A future that is done when `resource` is closed, by whichever side."""
    future, finish = _signal()
    resource.close_callbacks.add(finish)
    if resource.is_closed:
        finish()
    return future


async def cancelled_by_broker(channel: AbstractChannel) -> "asyncio.Future[None]":
    """A future that is done when the broker ends a consumer of `channel`, as it does when the queue is deleted."""
    future, finish = _signal()
    underlying = await channel.get_underlay_channel()
    underlying.on_consumer_cancel_callbacks.add(finish)
    return future
