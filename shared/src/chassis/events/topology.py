"""Exchanges and queues, read from the contract file and declared by every process.

All durable queues are quorum queues with explicit limits, which mean the same on RabbitMQ 3.10 and 4.x.
A queue's arguments can never change: a change means a new name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractChannel

DEAD_LETTERS = "suite.dlx"
# The retry ladder: an event that failed waits in the first queue, then the next, and returns to its consumer.
RETRY_DELAYS = {"5s": 5_000, "60s": 60_000, "600s": 600_000}
DELIVERY_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Binding:
    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class QueueSpec:
    name: str
    bindings: tuple[Binding, ...]

    def retry_queue(self, delay: str) -> str:
        """The queue in which this queue's failed messages wait for `delay` (a key of `RETRY_DELAYS`)."""
        return f"{self.name}.retry.{delay}"

    @property
    def parked_queue(self) -> str:
        """The queue of messages that an operator has to look at."""
        return f"{self.name}.parked"


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything that has to exist on the broker."""

    exchanges: tuple[str, ...]
    queues: tuple[QueueSpec, ...]
    broadcasts: frozenset[str] = frozenset()
    listeners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Which events a service hears with queues that come and go with its processes."""

    def queue(self, name: str) -> QueueSpec:
        return next(queue for queue in self.queues if queue.name == name)

    def exchange_of(self, event_type: str) -> str:
        """The exchange of an event type: that of the service that the type begins with."""
        return f"{event_type.split('.', maxsplit=1)[0]}.events"

    def span_attributes(self, operation: str, event_type: str, message_id: str, queue: str = "") -> dict[str, str]:
        """OpenTelemetry's attributes of sending or processing a message."""
        return {
            "messaging.system": "rabbitmq",
            "messaging.operation.name": operation,
            "messaging.operation.type": operation,
            "messaging.rabbitmq.destination.routing_key": event_type,
            "messaging.message.id": message_id,
            "messaging.destination.name": ":".join(filter(None, (self.exchange_of(event_type), event_type, queue))),
        }

    def must_be_routed(self, event_type: str) -> bool:
        """Whether a message that reaches no queue is a fault."""
        return event_type not in self.broadcasts and not is_heartbeat(event_type)


def heartbeat_type(service: str) -> str:
    """The type of the events by which listeners of `service` know that the way to them works."""
    return f"{service}.heartbeat.v1"


def is_heartbeat(event_type: str) -> bool:
    """Whether the event says nothing but that it has arrived."""
    return event_type.endswith(".heartbeat.v1")


def contracts_directory() -> Path:
    """Where the contract files are: inside an installed wheel, beside the sources in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "contracts"
    return installed if installed.is_dir() else package.parents[1] / "contracts"


def load_topology(path: Path | None = None) -> Topology:
    """The topology of the contract file."""
    document = orjson.loads((path or contracts_directory() / "events" / "topology.json").read_bytes())
    return Topology(
        exchanges=tuple(document["exchanges"]),
        queues=tuple(
            QueueSpec(queue["name"], tuple(Binding(b["exchange"], b["routingKey"]) for b in queue["bindings"]))
            for queue in document["queues"]
        ),
        broadcasts=frozenset(document["broadcasts"]["routingKeys"]),
        listeners={name: tuple(types) for name, types in document["broadcasts"]["listeners"].items()},
    )


def _arguments(dead_letter_exchange: str, dead_letter_key: str, **more: Any) -> Mapping[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": dead_letter_exchange,
        "x-dead-letter-routing-key": dead_letter_key,
        # Without these two a message is lost when it is dead-lettered while its target is away.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
        **more,
    }


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare all of `topology`; repeating it changes nothing."""
    dead_letters = await channel.declare_exchange(DEAD_LETTERS, aio_pika.ExchangeType.DIRECT, durable=True)
    for name in topology.exchanges:
        await channel.declare_exchange(name, aio_pika.ExchangeType.TOPIC, durable=True)
    for spec in topology.queues:
        parked = await channel.declare_queue(spec.parked_queue, durable=True, arguments={"x-queue-type": "quorum"})
        await parked.bind(dead_letters, spec.name)
        for delay, milliseconds in RETRY_DELAYS.items():
            await channel.declare_queue(
                spec.retry_queue(delay),
                durable=True,
                arguments=dict(_arguments("", spec.name, **{"x-message-ttl": milliseconds})),
            )
        queue = await channel.declare_queue(
            spec.name,
            durable=True,
            arguments=dict(_arguments(DEAD_LETTERS, spec.name, **{"x-delivery-limit": DELIVERY_LIMIT})),
        )
        for binding in spec.bindings:
            await queue.bind(binding.exchange, binding.routing_key)
        for exchange in {binding.exchange for binding in spec.bindings}:
            await queue.bind(exchange, heartbeat_type(exchange.removesuffix(".events")))
