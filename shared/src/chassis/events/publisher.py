"""Publishing with confirms: returns when the broker has taken the message, raises when that is not known."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from pamqp.commands import Basic

from chassis.events.connection import BrokerConnectionLostError, connected
from chassis.events.envelope import CONTENT_TYPE
from chassis.events.topology import Topology

_log = logging.getLogger(__name__)
PUBLISH_SECONDS = 5.0


class PublishError(Exception):
    """The broker refused the message, could not route it, or did not answer: it may or may not have it."""


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

    @property
    def is_connected(self) -> bool:
        return self._channel is not None and not self._channel.is_closed

    async def connect(self) -> AbstractChannel:
        """The open channel. Raises what the connection attempt raises."""
        async with self._lock:
            if self._channel is not None and not self._channel.is_closed:
                return self._channel
            await self._drop()
            self._connection = await self._stack.enter_async_context(
                connected(self._broker_url, self._name, self.topology)
            )
            # Without on_return_raises an unroutable message looks like a success.
            self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
            return self._channel

    async def _drop(self) -> None:
        self._channel = None
        await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()

    async def aclose(self) -> None:
        async with self._lock:
            await self._drop()

    async def publish_event(self, event_type: str, event_id: str, body: bytes, headers: Mapping[str, Any]) -> None:
        """Publish an encoded event on its service's exchange. Raises `PublishError`."""
        await self.publish(
            self.topology.exchange_of(event_type),
            event_type,
            body,
            message_id=event_id,
            headers=headers,
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
        """Publish one persistent message and wait for the broker's confirm. Raises `PublishError`."""
        message = aio_pika.Message(
            body,
            content_type=CONTENT_TYPE,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message_id,
            type=routing_key,
            headers=dict(headers),
        )
        try:
            # The library's own time-out does not cover waiting for a blocked connection or a full socket.
            async with asyncio.timeout(PUBLISH_SECONDS):
                channel = await self.connect()
                target = (
                    channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
                )
                outcome = await target.publish(message, routing_key, mandatory=mandatory)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            if not isinstance(error, aio_pika.exceptions.PublishError):
                await self.aclose()
            raise PublishError(f"{type(error).__name__}: {error}") from error
        if not isinstance(outcome, Basic.Ack):
            raise PublishError(f"the broker answered {type(outcome).__name__}")


__all__ = ["BrokerConnectionLostError", "PublishError", "Publisher"]
