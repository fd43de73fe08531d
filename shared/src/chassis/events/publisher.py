"""Publishing with confirms: returns when the broker has taken the message, raises when that is not known."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from pamqp.commands import Basic

from chassis import tracing
from chassis.events.connection import BrokerConnectionLostError, connected, declare_on
from chassis.events.envelope import CONTENT_TYPE
from chassis.events.topology import Topology

_log = logging.getLogger(__name__)
PUBLISH_SECONDS = 5.0
# Pauses between attempts to connect, however many callers want to publish.
_RECONNECT_SECONDS = (0.2, 5.0)
# How long messages have to be unroutable before the topology is declared again. A queue that is declared anew the
# moment it was deleted gets consumers that the broker counts and never feeds (RabbitMQ 3.10).
_UNROUTABLE_SECONDS = 3.0


class PublishError(Exception):
    """The broker refused the message, could not route it, or did not answer: it may or may not have it."""


class MessageRefusedError(PublishError):
    """The broker answered, and the answer is about this message: unroutable, or its queue takes no more."""


class Publisher:
    """One connection and one channel in confirm mode, made when first needed and again after a failure."""

    def __init__(self, broker_url: str, name: str, topology: Topology) -> None:
        self._broker_url = broker_url
        self._name = name
        self.topology = topology
        self._stack = contextlib.AsyncExitStack()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._connect_at = 0.0
        self._unroutable_since: float | None = None

    @property
    def is_connected(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    async def connect(self) -> AbstractChannel:
        """The open channel.

        Raises what the connection attempt raises, and `BrokerConnectionLostError` while it is too early for
        another one.
        """
        async with self._lock:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            self._drop(self._channel)
            if asyncio.get_running_loop().time() < self._connect_at:
                raise BrokerConnectionLostError("the broker could not be used a moment ago")
            async with contextlib.AsyncExitStack() as stack:
                try:
                    self._connection = await stack.enter_async_context(
                        connected(self._broker_url, self._name, self.topology)
                    )
                    # Without on_return_raises an unroutable message looks like a success.
                    channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                except BaseException:
                    self._failed()
                    raise
                self._stack = stack.pop_all()
                self._channel = channel
            return channel

    def _failed(self) -> None:
        low, high = _RECONNECT_SECONDS
        pause = min(low * 2**self._failures, high)
        self._failures = min(self._failures + 1, 10)
        self._connect_at = asyncio.get_running_loop().time() + random.uniform(pause / 2, pause)  # noqa: S311 - jitter

    def _drop(self, broken: AbstractChannel | None) -> None:
        """Close the connection of `broken` unless somebody has replaced it already.

        In the background: a broker that has stopped reading would keep the caller waiting.
        """
        if broken is None or broken is not self._channel:
            return
        self._channel = self._connection = None
        stack, self._stack = self._stack, contextlib.AsyncExitStack()
        task = asyncio.create_task(stack.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        async with self._lock:
            self._drop(self._channel)
            await asyncio.gather(*self._closing)

    async def publish_event(self, event_type: str, event_id: str, body: bytes, headers: Mapping[str, Any]) -> None:
        """Publish an encoded event on its service's exchange. Raises `PublishError`."""
        attributes = self.topology.span_attributes("send", event_type, event_id)
        name = f"send {attributes['messaging.destination.name']}"
        # The outbox kept the trace of the request that made the event; what has none is the relay's own.
        with tracing.sent(tracing.Kind.PRODUCER, name, headers.get("traceparent"), attributes) as span:
            await self.publish(
                self.topology.exchange_of(event_type),
                event_type,
                body,
                message_id=event_id,
                headers=headers if span is None else {**headers, "traceparent": span.traceparent},
                mandatory=self.topology.must_be_routed(event_type),
            )

    async def publish(  # noqa: PLR0913 - these are the parts of a message
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        message_id: str,
        headers: Mapping[str, Any],
        mandatory: bool = True,
    ) -> None:
        """Publish one persistent message and wait for the broker's confirm, 5 s after the connection is there.

        Raises `MessageRefusedError` when the broker answers that it does not take it, and `PublishError` when
        it is not known whether it did.
        """
        message = aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message_id,
            type=routing_key,
            headers=dict(headers),
        )
        channel = None
        try:
            # Has deadlines of its own: declaring the topology over a slow link takes longer than a publish may.
            channel = await self.connect()
            # The library's own time-out does not cover waiting for a blocked connection or a full socket.
            async with asyncio.timeout(PUBLISH_SECONDS):
                target = (
                    channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
                )
                outcome = await target.publish(message, routing_key, mandatory=mandatory)
        except aio_pika.exceptions.DeliveryError as error:
            if isinstance(error, aio_pika.exceptions.PublishError):
                await self._restore_topology()
            raise MessageRefusedError(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            if channel is not None and channel is self._channel:
                self._failed()
                self._drop(channel)
            raise PublishError(f"{type(error).__name__}: {error}") from error
        if not isinstance(outcome, Basic.Ack):
            raise PublishError(f"the broker answered {type(outcome).__name__}")
        self._failures = 0
        self._unroutable_since = None

    async def _restore_topology(self) -> None:
        """Declare everything again when messages have been unroutable for a while: a queue or binding is gone."""
        now = asyncio.get_running_loop().time()
        if self._unroutable_since is None:
            self._unroutable_since = now
        if now - self._unroutable_since < _UNROUTABLE_SECONDS or self._connection is None:
            return
        self._unroutable_since = now
        _log.warning("messages are unroutable, declaring the topology again")
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await declare_on(self._connection, self.topology)
        except Exception as error:  # noqa: BLE001 - the next attempt to publish shows how it stands
            _log.warning("topology could not be declared", extra={"reason": f"{type(error).__name__}: {error}"[:300]})


__all__ = ["BrokerConnectionLostError", "MessageRefusedError", "PublishError", "Publisher"]
