"""Consuming a durable queue: apply, then acknowledge; retry on a ladder; park what cannot be applied."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from chassis import context, tracing
from chassis.clock import utc_now
from chassis.deadlines import within
from chassis.errors import UnavailableError
from chassis.events.connection import BrokerConnectionLostError, cancelled_by_broker, closed, connected
from chassis.events.envelope import Event, InvalidEventError, decode
from chassis.events.metrics import ConsumerMetrics
from chassis.events.publisher import Publisher, PublishError
from chassis.events.pulse import Pulse
from chassis.events.topology import QueueSpec, Topology, is_heartbeat

_log = logging.getLogger(__name__)

Handler = Callable[[Event], Awaitable[None]]
"""Applies an event when it is newer than what is stored; may be called twice and in any order."""

PREFETCH = 32
CONCURRENCY = 16
# A handler that takes longer has failed: every wait has a deadline.
HANDLER_SECONDS = 60.0
_IMMEDIATE_PAUSES = (0.0, 0.1, 0.5)
_LADDER = ("5s", "5s", "60s", "60s", "600s", "600s")
_WATCHDOG_SECONDS = 5.0
_OUTAGE_PAUSES = (0.5, 1, 2, 5)
# The broker takes the channel away from who keeps a message unacknowledged for 30 minutes, and counts a delivery.
_HOLD_SECONDS = 900.0


class _StoppedError(Exception):
    """The consumer ends while a message waits; the broker gives it to somebody else."""


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
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._pulse = Pulse()
        self.is_consuming = False

    async def run(self) -> None:
        """Consume until the connection is lost (raises `BrokerConnectionLostError`) or the task is cancelled."""
        async with connected(self._broker_url, self._name, self._topology) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.get_queue(self._spec.name, ensure=False)
            self._stopping = asyncio.Event()
            self._pulse = Pulse()
            ends = [closed(connection), closed(channel), await cancelled_by_broker(channel)]
            tag = await queue.consume(partial(self._start, channel))
            watching = asyncio.create_task(self._watch(await connection.channel()))
            self.is_consuming = True
            try:
                await asyncio.wait([*ends, watching], return_when=asyncio.FIRST_COMPLETED)
                raise BrokerConnectionLostError(f"consumer of {self._spec.name} lost")
            except asyncio.CancelledError:
                await self._drain(channel, queue, tag)
                raise
            finally:
                self.is_consuming = False
                self._stopping.set()
                watching.cancel()
                for task in self._running:
                    task.cancel()
                # A new connection is made after these have let go of what they hold.
                await asyncio.wait([watching, *self._running], timeout=5)

    async def _start(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        # Handlers run in tasks of ours: the library cancels its own when a channel fails.
        task = asyncio.create_task(self._handle(channel, message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _drain(self, channel: AbstractChannel, queue: AbstractQueue, tag: str) -> None:
        """Take no more messages and let those under way finish."""
        self._stopping.set()
        try:
            async with asyncio.timeout(15):
                if not channel.is_closed:
                    await queue.cancel(tag)
                if self._running:
                    await asyncio.wait(list(self._running))
        except Exception as error:  # noqa: BLE001 - what is left unacknowledged is delivered again
            _log.warning("consumer did not drain", extra={"queue": self._spec.name, "reason": repr(error)})

    async def _watch(self, channel: AbstractChannel) -> None:
        """Ends when this consumer cannot be trusted any more.

        That is when the broker does not answer, when it says that nobody consumes the queue, or when heartbeats
        that used to arrive do not: a queue that was deleted and declared anew at once has consumers that the
        broker counts and never feeds (RabbitMQ 3.10).
        """
        try:
            is_fed = True
            while is_fed:
                await asyncio.sleep(_WATCHDOG_SECONDS)
                is_fed = await self._is_fed(channel)
            reason = "is not fed"
        except Exception as error:  # noqa: BLE001 - any failure means that the broker cannot be asked
            reason = f"{type(error).__name__}: {error}"
        _log.error("consumer lost", extra={"queue": self._spec.name, "reason": reason})

    async def _is_fed(self, channel: AbstractChannel) -> bool:
        async with asyncio.timeout(_WATCHDOG_SECONDS):
            own = (await channel.declare_queue(self._spec.name, passive=True)).declaration_result
            parked = (await channel.declare_queue(self._spec.parked_queue, passive=True)).declaration_result
        self._metrics.waiting.labels(self._spec.name).set(own.message_count or 0)
        self._metrics.parked.labels(self._spec.name).set(parked.message_count or 0)
        # One that holds as many messages as it may is not given more: no sign of anything.
        is_full = len(self._running) >= PREFETCH
        consumers = own.consumer_count or 0
        return consumers > 0 and (is_full or not self._pulse.is_lost(consumers))

    async def _handle(self, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        outcome = "requeued"
        try:
            outcome = await self._settle(message)
            await message.ack()
        except _StoppedError:
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must not stay with us for ever
            _log.warning("message not settled", extra={"queue": self._spec.name, "reason": repr(error)})
            # The broker delivers it again, and parks it when that has happened too often.
            await channel.close()
        self._metrics.messages.labels(self._spec.name, outcome).inc()

    async def _settle(self, message: AbstractIncomingMessage) -> str:
        """Apply the message or put a copy where it belongs; returns what was done."""
        try:
            event = decode(message.body)
            handler = self._handlers.get(event.type)
            if handler is None and not is_heartbeat(event.type):
                raise InvalidEventError(f"no handler for '{event.type}'")
        except InvalidEventError as error:
            _log.error("message parked", extra={"queue": self._spec.name, "reason": str(error)})
            await self._move(message, self._spec.parked_queue, {"x-error": str(error)[:300]})
            return "parked"
        self._pulse.heard(heartbeat=is_heartbeat(event.type))
        if handler is None:
            self._metrics.heartbeat.labels(self._spec.name).set_to_current_time()
            return "heartbeat"
        # The task is this message's own: nothing of it reaches the next one.
        context.request_id.set(event.correlation_id)
        context.event_id.set(str(event.id))
        # The header names the span of the relay, the envelope that of the request.
        header = message.headers.get("traceparent")
        offered = header if isinstance(header, str) else event.traceparent
        about = self._topology.span_attributes("process", event.type, str(event.id), self._spec.name)
        with tracing.entered(tracing.Kind.CONSUMER, f"process {self._spec.name}", offered, about) as span:
            outcome = await self._apply_or_move(message, handler, event)
            span.describe({"suite.outcome": outcome, "suite.replayed": message.headers.get("x-replayed") is True})
        if outcome == "applied":
            self._metrics.lag.labels(self._spec.name).observe(max(0.0, (utc_now() - event.time).total_seconds()))
        return outcome

    async def _apply_or_move(self, message: AbstractIncomingMessage, handler: Handler, event: Event) -> str:
        try:
            await self._apply(handler, event)
        except (_StoppedError, asyncio.CancelledError):
            raise
        except UnavailableError as error:
            # Not a failure of the message: the same rung again.
            await self._move(message, self._spec.retry_queue(_LADDER[-1]), {"x-error": repr(error)[:300]})
            return "deferred"
        except Exception as error:  # noqa: BLE001 - any failure of a handler goes to the ladder
            return await self._retry(message, event, error)
        return "applied"

    async def _apply(self, handler: Handler, event: Event) -> None:
        """Raises `UnavailableError` only when the outage lasts longer than a message may be held."""
        held = failures = 0.0
        while True:
            try:
                # Given back for the pauses: an event that cannot be applied must not hold up the others.
                async with self._slots:
                    return await within(HANDLER_SECONDS, handler(event))
            except UnavailableError:
                if held > _HOLD_SECONDS:
                    raise
                held += await self._wait_out(held)
            except Exception:
                failures += 1
                if failures >= len(_IMMEDIATE_PAUSES):
                    raise
                await asyncio.sleep(_IMMEDIATE_PAUSES[int(failures)])

    async def _wait_out(self, held: float) -> float:
        """Pause while something is away: longer the longer it has been. Raises `_StoppedError`."""
        pause = next((p for p in _OUTAGE_PAUSES if p > held / 2), _OUTAGE_PAUSES[-1])
        try:
            async with asyncio.timeout(pause):
                await self._stopping.wait()
        except TimeoutError:
            return pause
        raise _StoppedError

    async def _retry(self, message: AbstractIncomingMessage, event: Event, error: Exception) -> str:
        before = message.headers.get("x-attempt")
        attempt = before + 1 if isinstance(before, int) and before >= 0 else 1
        reason = f"{type(error).__name__}: {error}"[:300]
        headers: dict[str, Any] = {"x-attempt": attempt, "x-error": reason}
        details = {"queue": self._spec.name, "event": str(event.id), "attempt": attempt, "reason": reason}
        if attempt > len(_LADDER):
            _log.error("message parked", extra=details, exc_info=error)
            await self._move(message, self._spec.parked_queue, headers)
            return "parked"
        _log.warning("message will be retried", extra=details, exc_info=error)
        await self._move(message, self._spec.retry_queue(_LADDER[attempt - 1]), headers)
        return "retried"

    async def _move(self, message: AbstractIncomingMessage, queue: str, headers: Mapping[str, Any]) -> None:
        """Put a copy into `queue`; while that cannot be done the original waits unacknowledged."""
        kept = {k: v for k, v in message.headers.items() if not k.startswith("x-death") and k != "x-delivery-count"}
        held = 0.0
        while True:
            try:
                return await self._publisher.publish(
                    "", queue, message.body, message_id=message.message_id or "", headers={**kept, **headers}
                )
            except PublishError as error:
                _log.warning("message could not be moved", extra={"queue": queue, "reason": str(error)[:300]})
                held += await self._wait_out(held)


__all__ = ["Consumer", "ConsumerMetrics", "Handler"]
