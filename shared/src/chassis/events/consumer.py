"""Consuming a durable queue: apply, then acknowledge; retry on a ladder; park what cannot be applied."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from prometheus_client import CollectorRegistry, Counter

from chassis import context
from chassis.errors import UnavailableError
from chassis.events.connection import BrokerConnectionLostError, closed, connected
from chassis.events.envelope import Event, InvalidEventError, decode
from chassis.events.publisher import Publisher, PublishError
from chassis.events.topology import QueueSpec, Topology

_log = logging.getLogger(__name__)

Handler = Callable[[Event], Awaitable[None]]
"""Applies an event when it is newer than what is stored; may be called twice and in any order."""

PREFETCH = 32
CONCURRENCY = 16
_IMMEDIATE_PAUSES = (0.0, 0.1, 0.5)
_LADDER = ("5s", "5s", "60s", "60s", "600s", "600s")
_WATCHDOG_SECONDS = 5.0
# The broker gives up on an unacknowledged message after 30 minutes.
_OUTAGE_PAUSES = (0.5, 1, 2, 5, 10)


class ConsumerMetrics:
    """What became of the messages of each queue."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "event_messages", "Messages consumed, by what became of them.", ("queue", "outcome"), registry=registry
        )


class Consumer:
    """Feeds the messages of one queue to the handlers of their event types.

    `run` ends with an error when the connection or the consumer is lost; its owner calls it again. An event is
    acknowledged only after its handler has returned. While a handler raises `UnavailableError` (its database
    is away) messages wait unacknowledged and nothing counts as a failed delivery.
    """

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        broker_url: str,
        name: str,
        topology: Topology,
        queue: str,
        handlers: Mapping[str, Handler],
        publisher: Publisher,
        metrics: ConsumerMetrics,
    ) -> None:
        self._broker_url = broker_url
        self._name = name
        self._topology = topology
        self._spec: QueueSpec = topology.queue(queue)
        self._handlers = handlers
        self._publisher = publisher
        self._metrics = metrics
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self.is_consuming = False

    async def run(self) -> None:
        """Consume until the connection is lost (raises `BrokerConnectionLostError`) or the task is cancelled."""
        async with connected(self._broker_url, self._name, self._topology) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.get_queue(self._spec.name, ensure=False)
            # Handlers run in tasks of ours: the library cancels its own when a channel fails.
            running: set[asyncio.Task[None]] = set()

            async def start(message: AbstractIncomingMessage) -> None:
                task = asyncio.create_task(self._handle(message))
                running.add(task)
                task.add_done_callback(running.discard)

            tag = await queue.consume(start)
            self.is_consuming = True
            lost = asyncio.ensure_future(
                asyncio.wait([closed(channel), closed(connection)], return_when=asyncio.FIRST_COMPLETED)
            )
            watching = asyncio.create_task(self._watch(await connection.channel()))
            try:
                await asyncio.wait([lost, watching], return_when=asyncio.FIRST_COMPLETED)
                raise BrokerConnectionLostError(f"consumer of {self._spec.name} lost")
            except asyncio.CancelledError:
                await self._drain(channel, queue, tag, running)
                raise
            finally:
                self.is_consuming = False
                lost.cancel()
                watching.cancel()
                for task in running:
                    task.cancel()

    async def _drain(
        self, channel: AbstractChannel, queue: AbstractQueue, tag: str, running: set[asyncio.Task[None]]
    ) -> None:
        """Take no more messages and let those under way finish."""
        try:
            async with asyncio.timeout(15):
                if not channel.is_closed:
                    await queue.cancel(tag)
                if running:
                    await asyncio.wait(list(running))
        except Exception as error:  # noqa: BLE001 - what is left unacknowledged is delivered again
            _log.warning("consumer did not drain", extra={"queue": self._spec.name, "reason": repr(error)})

    async def _watch(self, channel: AbstractChannel) -> None:
        """Ends when the broker says that nobody consumes the queue any more, or does not answer."""
        while True:
            await asyncio.sleep(_WATCHDOG_SECONDS)
            async with asyncio.timeout(_WATCHDOG_SECONDS):
                declared = await channel.declare_queue(self._spec.name, passive=True)
            if not declared.declaration_result.consumer_count:
                return

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        async with self._slots:
            outcome = "requeued"
            try:
                outcome = await self._settle(message)
                await message.ack()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - unacknowledged messages are delivered again
                _log.warning("message not settled", extra={"queue": self._spec.name, "reason": repr(error)})
            self._metrics.messages.labels(self._spec.name, outcome).inc()

    async def _settle(self, message: AbstractIncomingMessage) -> str:
        """Apply the message or put a copy where it belongs; returns what was done."""
        try:
            event = decode(message.body)
            handler = self._handlers.get(event.type)
            if handler is None:
                raise InvalidEventError(f"no handler for '{event.type}'")
        except InvalidEventError as error:
            await self._move(message, self._spec.parked_queue, {"x-error": str(error)[:300]})
            _log.error("message parked", extra={"queue": self._spec.name, "reason": str(error)})
            return "parked"
        context.request_id.set(event.correlation_id)
        context.traceparent.set(context.continue_trace(event.traceparent))
        try:
            await self._apply(handler, event)
        except Exception as error:  # noqa: BLE001 - any failure of a handler goes to the ladder
            return await self._retry(message, event, error)
        return "applied"

    async def _apply(self, handler: Handler, event: Event) -> None:
        outage = 0
        failures = 0
        while True:
            try:
                return await handler(event)
            except UnavailableError:
                pause = _OUTAGE_PAUSES[min(outage, len(_OUTAGE_PAUSES) - 1)]
                outage += 1
            except Exception:
                failures += 1
                if failures >= len(_IMMEDIATE_PAUSES):
                    raise
                pause = _IMMEDIATE_PAUSES[failures]
            await asyncio.sleep(pause)

    async def _retry(self, message: AbstractIncomingMessage, event: Event, error: Exception) -> str:
        attempt = int(str(message.headers.get("x-attempt", 0))) + 1
        reason = f"{type(error).__name__}: {error}"[:300]
        headers: dict[str, Any] = {"x-attempt": attempt, "x-error": reason}
        details = {"queue": self._spec.name, "event": str(event.id), "attempt": attempt, "reason": reason}
        if attempt > len(_LADDER):
            await self._move(message, self._spec.parked_queue, headers)
            _log.error("message parked", extra=details, exc_info=error)
            return "parked"
        await self._move(message, self._spec.retry_queue(_LADDER[attempt - 1]), headers)
        _log.warning("message will be retried", extra=details, exc_info=error)
        return "retried"

    async def _move(self, message: AbstractIncomingMessage, queue: str, headers: Mapping[str, Any]) -> None:
        """Put a copy into `queue`. When that fails the original stays unacknowledged and comes again."""
        kept = {k: v for k, v in message.headers.items() if not k.startswith("x-death") and k != "x-delivery-count"}
        try:
            await self._publisher.publish(
                "", queue, message.body, message_id=message.message_id or "", headers={**kept, **headers}
            )
        except PublishError:
            await message.channel.close()
            raise
