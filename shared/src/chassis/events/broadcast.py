"""Listening to events with a queue of one's own, which lives as long as the connection."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from chassis import tracing
from chassis.events.connection import BrokerConnectionLostError, cancelled_by_broker, closed, connected
from chassis.events.envelope import Event, decode
from chassis.events.pulse import Pulse
from chassis.events.topology import Topology, heartbeat_type, is_heartbeat

_log = logging.getLogger(__name__)
_WATCHDOG_SECONDS = 5.0


class BroadcastListener:
    """Hears every event of some types, in every replica.

    The queue is exclusive and server-named: a fixed name would be refused while the broker still holds a
    half-open older connection. What was missed while disconnected has to be read from a snapshot: `on_bound`
    is awaited after the queue is bound and before the first event is handed over. An event that cannot be
    handed over ends `run` as a lost connection does, so that the snapshot makes up for it.
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
        self._pulse = Pulse()
        self.is_listening = False

    async def run(self) -> None:
        """Listen until the connection is lost (raises `BrokerConnectionLostError`) or the task is cancelled."""
        async with connected(self._broker_url, self._name, self._topology) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True, auto_delete=True)
            for event_type in self._event_types:
                exchange = self._topology.exchange_of(event_type)
                await queue.bind(exchange, event_type)
                await queue.bind(exchange, heartbeat_type(exchange.removesuffix(".events")))
            self._pulse = Pulse()
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            ends = [failed, closed(channel), closed(connection), await cancelled_by_broker(channel)]
            await self._on_bound()
            await queue.consume(partial(self._receive, failed), no_ack=True)
            watching = asyncio.create_task(self._watch(await connection.channel(), queue))
            self.is_listening = True
            try:
                await asyncio.wait([*ends, watching], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.is_listening = False
                watching.cancel()
                await asyncio.wait([watching])
        raise BrokerConnectionLostError("broadcast listener lost")

    async def _watch(self, channel: AbstractChannel, queue: AbstractQueue) -> None:
        """Ends when the broker does not answer or heartbeats no longer arrive."""
        reason = "heartbeats are missing"
        try:
            while not self._pulse.is_lost(listeners=1):
                await asyncio.sleep(_WATCHDOG_SECONDS)
                async with asyncio.timeout(_WATCHDOG_SECONDS):
                    await channel.declare_queue(queue.name, passive=True)
        except Exception as error:  # noqa: BLE001 - any failure means that the broker cannot be asked
            reason = f"{type(error).__name__}: {error}"
        _log.error("broadcast listener lost", extra={"reason": reason})

    async def _receive(self, failed: "asyncio.Future[None]", message: AbstractIncomingMessage) -> None:
        try:
            event = decode(message.body)
            self._pulse.heard(heartbeat=is_heartbeat(event.type))
            if not is_heartbeat(event.type):
                self._apply(event, message.headers.get("traceparent"))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the event, the snapshot has its effect
            _log.error("broadcast not applied", extra={"reason": repr(error), "event": message.message_id})
            if not failed.done():
                failed.set_result(None)

    def _apply(self, event: Event, header: object) -> None:
        attributes = self._topology.span_attributes("process", event.type, str(event.id))
        name = f"process {attributes['messaging.destination.name']}"
        offered = header if isinstance(header, str) else event.traceparent
        with tracing.entered(tracing.Kind.CONSUMER, name, offered, attributes):
            self._on_event(event)
