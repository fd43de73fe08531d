"""The AsyncAPI 3 document of the contracts: `python -m chassis.events.asyncapi` writes it beside them.

Schemas are referred to and not copied; examples are copied, because the specification allows no reference there.
"""

import json
from pathlib import Path
from typing import Any

from chassis.events.envelope import CONTENT_TYPE
from chassis.events.topology import (
    DELIVERY_LIMIT,
    RETRY_DELAYS,
    QueueSpec,
    Topology,
    contracts_directory,
    load_topology,
)

# AsyncAPI names only draft 07; other formats are named by their media type.
_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_BINDING_VERSION = "0.3.0"
_INFO = {
    "title": "Movie-package suite: events between services",
    "version": "1.0.0",
    "description": (
        "CloudEvents 1.0 as JSON (structured mode) over RabbitMQ. Delivery is at least once: apply an event when its "
        "`data.revision` is newer than what is stored, and acknowledge after the write."
    ),
    "license": {"name": "MIT"},
}


def _ref(*path: str) -> dict[str, str]:
    return {"$ref": "/".join(("#", *path))}


def _amqp(**members: object) -> dict[str, object]:
    return {"amqp": {**members, "bindingVersion": _BINDING_VERSION}}


_HEARTBEAT = "heartbeat.v1"


def _message(event_type: str, folder: Path) -> dict[str, Any]:
    schema = json.loads((folder / f"{event_type}.schema.json").read_bytes())
    example = json.loads((folder / f"{event_type}.example.json").read_bytes())
    return {
        "name": event_type,
        "title": schema["title"],
        "summary": schema["description"],
        "contentType": CONTENT_TYPE,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"events/{event_type}.schema.json"}},
        "examples": [{"name": "golden", "payload": example}],
        "bindings": _amqp(messageType=example["type"]),
    }


def _event_channel(event_type: str, topology: Topology) -> dict[str, Any]:
    exchange = {"name": topology.exchange_of(event_type), "type": "topic", "durable": True, "autoDelete": False}
    return {
        "address": event_type,
        "messages": {event_type: _ref("components", "messages", event_type)},
        "bindings": _amqp(**{"is": "routingKey", "exchange": exchange}),
    }


def _queue_channel(queue: QueueSpec) -> dict[str, Any]:
    return {
        "address": queue.name,
        "description": (
            f"Quorum queue. What fails is tried again after {', '.join(RETRY_DELAYS)} and then moved to "
            f"`{queue.parked_queue}`, as is what was delivered {DELIVERY_LIMIT} times and never acknowledged."
        ),
        "messages": {
            name: _ref("components", "messages", name)
            for name in (*(b.routing_key for b in queue.bindings), _HEARTBEAT)
        },
        "bindings": _amqp(
            **{
                "is": "queue",
                "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
            }
        ),
    }


def _operation(action: str, service: str, channel: str, types: tuple[str, ...], **bindings: object) -> dict[str, Any]:
    return {
        "action": action,
        "channel": _ref("channels", channel),
        "tags": [{"name": service}],
        "messages": [_ref("channels", channel, "messages", event_type) for event_type in types],
        "bindings": _amqp(**bindings),
    }


def document(folder: Path) -> dict[str, Any]:
    """The AsyncAPI document of the contracts in `folder`."""
    topology = load_topology(folder / "topology.json")
    types = sorted({b.routing_key for q in topology.queues for b in q.bindings} | topology.broadcasts)
    operations = {
        f"send.{event_type}": _operation(
            "send",
            event_type.split(".", maxsplit=1)[0],
            event_type,
            (event_type,),
            deliveryMode=2,
            mandatory=topology.must_be_routed(event_type),
        )
        for event_type in types
    }
    for queue in topology.queues:
        bound = (*(binding.routing_key for binding in queue.bindings), _HEARTBEAT)
        service = queue.name.split(".", maxsplit=1)[0]
        operations[f"receive.{queue.name}"] = _operation("receive", service, queue.name, bound, ack=True)
    for service, heard in sorted(topology.listeners.items()):
        for event_type in heard:
            name = f"receive.{service}.{event_type}"
            operations[name] = _operation("receive", service, event_type, (event_type,), ack=False)
    return {
        "asyncapi": "3.0.0",
        "info": _INFO,
        "defaultContentType": CONTENT_TYPE,
        "servers": {"broker": {"host": "rabbitmq:5672", "protocol": "amqp", "protocolVersion": "0.9.1"}},
        "channels": {
            **{event_type: _event_channel(event_type, topology) for event_type in types},
            **{queue.name: _queue_channel(queue) for queue in topology.queues},
        },
        "operations": operations,
        "components": {"messages": {event_type: _message(event_type, folder) for event_type in (*types, _HEARTBEAT)}},
    }


def render(folder: Path) -> str:
    """The document as it is kept in the repository."""
    return json.dumps(document(folder), indent=2) + "\n"


if __name__ == "__main__":
    contracts = contracts_directory()
    (contracts / "asyncapi.json").write_text(render(contracts / "events"))
