"""What operators do with events: parked messages, the outbox, comparing and repairing projections.

Every service offers these as `python -m <service> events …`.
"""

import argparse
import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError

from chassis.errors import ServiceError
from chassis.events.connection import connected
from chassis.events.publisher import Publisher, PublishError
from chassis.events.topology import QueueSpec, Topology

_QUEUE_ACTIONS = {
    "list": "the oldest parked messages of a queue",
    "show": "one parked message with its body",
    "replay": "send parked messages to their queue again",
}
_OWN_ACTIONS = {
    "outbox": "what waits to be published",
    "reconcile": "compare what is held about one user with its source, and repair it",
    "rebuild": "bring a whole projection to what its source says; safe beside everything that runs",
}


@asynccontextmanager
async def _parked(broker_url: str, topology: Topology, spec: QueueSpec) -> AsyncIterator[tuple[AbstractQueue, int]]:
    """The parked queue of `spec` and how many messages it holds now; what is taken and not acknowledged goes back."""
    async with connected(broker_url, "operator", topology) as connection:
        channel = await connection.channel()
        declared = await channel.declare_queue(spec.parked_queue, passive=True)
        yield declared, declared.declaration_result.message_count or 0


def describe(message: AbstractIncomingMessage) -> dict[str, Any]:
    """A parked message as an operator sees it; the body is not in it."""
    try:
        event = json.loads(message.body)
    except ValueError:
        event = {}
    event = event if isinstance(event, dict) else {}
    return {
        "id": message.message_id,
        "type": message.type,
        "subject": event.get("subject"),
        "time": event.get("time"),
        "attempts": message.headers.get("x-attempt", 0),
        "error": message.headers.get("x-error") or _reason_of_the_broker(message),
    }


def _reason_of_the_broker(message: AbstractIncomingMessage) -> str | None:
    """Why the broker moved the message here by itself, as when each of its deliveries has killed a process."""
    reason = message.headers.get("x-first-death-reason")
    return f"the broker parked it: {reason}" if isinstance(reason, str) else None


async def list_parked(broker_url: str, topology: Topology, spec: QueueSpec, limit: int) -> list[dict[str, Any]]:
    """Up to `limit` parked messages of a queue, oldest first; none is removed."""
    async with _parked(broker_url, topology, spec) as (queue, depth):
        messages = [await queue.get(fail=False) for _ in range(min(limit, depth))]
        return [describe(message) for message in messages if message is not None]


async def show_parked(broker_url: str, topology: Topology, spec: QueueSpec, message_id: str) -> dict[str, Any] | None:
    """One parked message with its body; None when there is no such message."""
    async with _parked(broker_url, topology, spec) as (queue, depth):
        for _ in range(depth):
            message = await queue.get(fail=False)
            if message is not None and message.message_id == message_id:
                return {**describe(message), "body": message.body.decode("utf-8", "replace")}
    return None


async def replay_parked(  # noqa: PLR0913 - what to replay, and how
    broker_url: str, topology: Topology, spec: QueueSpec, *, limit: int, message_id: str | None, dry_run: bool
) -> list[dict[str, Any]]:
    """Send parked messages to their queue again; those that were sent (or would be).

    A message is removed after the broker has confirmed its copy, so a replay that dies can be run again: at
    worst a message is delivered twice, which consumers expect. Never goes beyond what was there at the start.
    """
    replayed: list[dict[str, Any]] = []
    publisher = Publisher(broker_url, "operator-replay", topology)
    try:
        async with _parked(broker_url, topology, spec) as (queue, depth):
            for _ in range(depth):
                if len(replayed) >= limit:
                    break
                message = await queue.get(fail=False)
                if message is None:
                    break
                if message_id is not None and message.message_id != message_id:
                    continue
                replayed.append(describe(message))
                if not dry_run:
                    headers = {k: v for k, v in message.headers.items() if not k.startswith("x-")}
                    await publisher.publish(
                        "",
                        spec.name,
                        message.body,
                        message_id=message.message_id or "",
                        headers={**headers, "x-replayed": True},
                    )
                    await message.ack()
    finally:
        await publisher.aclose()
    return replayed


Action = Callable[[argparse.Namespace], Coroutine[Any, Any, Any]]
"""Carries out one command; its result is printed, None means that there is nothing to show."""


def add_commands(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    topology: Topology,
    service: str,
    actions: Mapping[str, Action],
    projections: Sequence[str] = (),
) -> None:
    """Add `events` with its sub-commands to a service's parser; `run_command` carries them out.

    `actions` are the service's own, because databases differ: "outbox", "reconcile" (one user: `options.user`) and
    "rebuild" (`options.projection`, one of `projections`; `options.after`). Those that it lacks are not offered.
    """
    queues = [queue.name for queue in topology.queues if queue.name.startswith(f"{service}.")]
    events = commands.add_parser("events", help="outbox, parked messages, comparing and repairing what others hold")
    offered = events.add_subparsers(dest="action", required=True)
    for name, text in _QUEUE_ACTIONS.items() if queues else ():
        action = offered.add_parser(name, help=text)
        action.add_argument("--queue", choices=queues, required=len(queues) != 1, default=queues[0])
        action.add_argument("--limit", type=int, default=100)
        action.add_argument("--id", help="one message only", required=name == "show")
        action.add_argument("--dry-run", action="store_true", help="only say what would be replayed")
    for name, text in _OWN_ACTIONS.items():
        if name not in actions:
            continue
        action = offered.add_parser(name, help=text)
        if name != "outbox":
            action.add_argument("--dry-run", action="store_true", help="only say what differs or would be sent")
        if name == "reconcile":
            action.add_argument("--user", type=uuid.UUID, required=True)
        if name == "rebuild":
            action.add_argument("--projection", choices=projections, default=projections[0])
            action.add_argument("--after", default="", help="go on behind this point, which an earlier run has named")


def run_command(options: argparse.Namespace, topology: Topology, broker_url: str, actions: Mapping[str, Action]) -> int:
    """Carry out an `events` command and print its result as JSON.

    0, or 1 when there is nothing to show or something that is needed for it is away.
    """

    async def work() -> Any:
        if (own := actions.get(options.action)) is not None:
            return await own(options)
        spec = topology.queue(options.queue)
        if options.action == "list":
            return await list_parked(broker_url, topology, spec, options.limit)
        if options.action == "show":
            return await show_parked(broker_url, topology, spec, options.id)
        return await replay_parked(
            broker_url, topology, spec, limit=options.limit, message_id=options.id, dry_run=options.dry_run
        )

    try:
        result = asyncio.run(work())
    except (ServiceError, PublishError, AMQPError, OSError, TimeoutError) as error:
        sys.stderr.write(f"failed: {type(error).__name__}: {error}\n")
        return 1
    json.dump(result, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")
    return 0 if result is not None else 1


def tell_progress(projection: str, point: object) -> None:
    """Say how far a rebuild has come, on the error output: `--after` takes it up from there."""
    sys.stderr.write(f"{projection}: done up to {point}\n")
