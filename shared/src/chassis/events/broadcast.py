"""Listening to events with a queue of one's own, which lives as long as the connection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aio_pika.abc import AbstractIncomingMessage

from chassis.events.connection import BrokerConnectionLostError, closed, connected
from chassis.events.envelope import Event, InvalidEventError, decode
from chassis.events.topology import Topology

_log = logging.getLogger(__name__)


class BroadcastListener:
    """Hears every event of some types, in every replica.

    The queue is exclusive and server-named: a fixed name would be refused while the broker still holds a
    half-open older connection. What was missed while disconnected has to be read from a snapshot: `on_bound`
    is awaited after the queue is bound and before the first event is handed over.
    """

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        broker_url: str,
        name: str,
        topology: Topology,
        event_types: Sequence[str],
        on_bound: Callable[[], Awaitable[None]],
        on_event: Callable[[Event], None],
    ) -> None:
        self._broker_url = broker_url
        self._name = name
        self._topology = topology
        self._event_types = event_types
        self._on_bound = on_bound
        self._on_event = on_event
        self.is_listening = False

    async def run(self) -> None:
        """Listen until the connection is lost (raises `BrokerConnectionLostError`) or the task is cancelled."""
        async with connected(self._broker_url, self._name, self._topology) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=200)
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            for event_type in self._event_types:
                await queue.bind(self._topology.exchange_of(event_type), event_type)
            await self._on_bound()
            await queue.consume(self._receive, no_ack=True)
            self.is_listening = True
            try:
                await asyncio.wait([closed(channel), closed(connection)], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.is_listening = False
        raise BrokerConnectionLostError("broadcast listener lost")

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        try:
            self._on_event(decode(message.body))
        except InvalidEventError as error:
            _log.error("unreadable broadcast", extra={"reason": str(error), "event": message.message_id})
