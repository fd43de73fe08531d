"""The operator's commands about parked messages, on the real broker."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest

from chassis import tracing
from chassis.errors import UnavailableError
from chassis.events.connection import connected
from chassis.events.consumer import Consumer
from chassis.events.envelope import Event, encode
from chassis.events.metrics import ConsumerMetrics
from chassis.events.operator import add_commands, list_parked, replay_parked, run_command, show_parked
from chassis.events.publisher import Publisher
from chassis.events.topology import DELIVERY_LIMIT, Binding, QueueSpec, Topology
from chassis.metrics import new_registry

SPEC = QueueSpec("till.orders.v1", (Binding("shop.events", "shop.order.changed.v1"),))
TOPOLOGY = Topology(exchanges=("shop.events",), queues=(SPEC,))


@pytest.fixture
async def parked(broker_url: str) -> AsyncIterator[list[str]]:
    """Five parked messages; their ids."""
    publisher = Publisher(broker_url, "test-park", TOPOLOGY)
    ids = []
    for number in range(5):
        event = Event("shop.order.changed.v1", "/shop", f"order/{number}", {"revision": number})
        headers = {"x-attempt": 7, "x-error": "ValueError: no"}
        await publisher.publish("", SPEC.parked_queue, encode(event), message_id=str(event.id), headers=headers)
        ids.append(str(event.id))
    await publisher.aclose()
    yield ids
    async with connected(broker_url, "test-purge", TOPOLOGY) as connection:
        channel = await connection.channel()
        for name in (SPEC.name, SPEC.parked_queue):
            await (await channel.get_queue(name)).purge()


async def depth(broker_url: str, name: str) -> int:
    async with connected(broker_url, "test-depth", TOPOLOGY) as connection:
        channel = await connection.channel()
        return (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0


async def test_listing_removes_nothing(broker_url: str, parked: list[str]) -> None:
    for _ in range(3):
        listed = await list_parked(broker_url, TOPOLOGY, SPEC, limit=3)
        assert len(listed) == 3
        assert {"id", "type", "subject", "time", "attempts", "error"} == set(listed[0])
    assert {m["id"] for m in await list_parked(broker_url, TOPOLOGY, SPEC, limit=100)} == set(parked)


async def test_one_message_is_shown_with_its_body(broker_url: str, parked: list[str]) -> None:
    shown = await show_parked(broker_url, TOPOLOGY, SPEC, parked[2])
    assert shown is not None
    assert json.loads(shown["body"])["subject"] == "order/2"
    assert await show_parked(broker_url, TOPOLOGY, SPEC, "unknown") is None


async def test_what_the_broker_parked_by_itself_is_listed_with_its_reason(broker_url: str) -> None:
    publisher = Publisher(broker_url, "test-park", TOPOLOGY)
    event = Event("shop.order.changed.v1", "/shop", "order/1", {"revision": 1})
    await publisher.publish("", SPEC.name, encode(event), message_id=str(event.id), headers={})
    await publisher.aclose()
    deliveries = 0
    async with connected(broker_url, "test-crash", TOPOLOGY) as connection, asyncio.timeout(30):
        channel = await connection.channel()
        queue = await channel.get_queue(SPEC.name)
        while not (listed := await list_parked(broker_url, TOPOLOGY, SPEC, limit=10)):
            if (message := await queue.get(fail=False)) is not None:
                deliveries += 1
                await message.reject(requeue=True)
        await (await channel.get_queue(SPEC.parked_queue)).purge()
    assert deliveries == DELIVERY_LIMIT + 1
    assert [(row["id"], row["error"]) for row in listed] == [(str(event.id), "the broker parked it: delivery_limit")]


async def test_a_dry_run_moves_nothing(broker_url: str, parked: list[str]) -> None:
    told = await replay_parked(broker_url, TOPOLOGY, SPEC, limit=10, message_id=None, dry_run=True)
    assert len(told) == 5
    assert await depth(broker_url, SPEC.name) == 0


async def test_a_replay_moves_up_to_the_limit_and_can_go_on(broker_url: str, parked: list[str]) -> None:
    first = await replay_parked(broker_url, TOPOLOGY, SPEC, limit=2, message_id=None, dry_run=False)
    rest = await replay_parked(broker_url, TOPOLOGY, SPEC, limit=10, message_id=None, dry_run=False)
    assert (len(first), len(rest)) == (2, 3)
    assert {m["id"] for m in first + rest} == set(parked)
    assert await depth(broker_url, SPEC.name) == 5
    assert await depth(broker_url, SPEC.parked_queue) == 0


async def test_one_message_can_be_replayed_alone_with_its_attempts_forgotten(
    broker_url: str, parked: list[str]
) -> None:
    await replay_parked(broker_url, TOPOLOGY, SPEC, limit=10, message_id=parked[4], dry_run=False)
    async with connected(broker_url, "test-read", TOPOLOGY) as connection:
        channel = await connection.channel()
        message = await (await channel.get_queue(SPEC.name)).get(no_ack=True)
    assert message.message_id == parked[4]
    assert message.headers.get("x-attempt") is None
    assert await depth(broker_url, SPEC.parked_queue) == 4


async def test_a_replayed_event_goes_on_in_its_trace_and_says_so(broker_url: str) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    event = Event("shop.order.changed.v1", "/shop", "order/1", {"revision": 1}, traceparent=traceparent)
    publisher = Publisher(broker_url, "test-park", TOPOLOGY)
    await publisher.publish("", SPEC.parked_queue, encode(event), message_id=str(event.id), headers={})
    await replay_parked(broker_url, TOPOLOGY, SPEC, limit=1, message_id=None, dry_run=False)
    handled = asyncio.Event()

    async def handle(_: Event) -> None:
        handled.set()

    span = mock.Mock(traceparent=traceparent)
    tracer = mock.Mock(**{"start.return_value": span})
    tracing.use_tracer(tracer)
    metrics = ConsumerMetrics(new_registry())
    handlers = {"shop.order.changed.v1": handle}
    consumer = Consumer(broker_url, "test-consumer", TOPOLOGY, SPEC.name, handlers, publisher, metrics)
    running = asyncio.create_task(consumer.run())
    async with asyncio.timeout(10):
        await handled.wait()
    running.cancel()
    await asyncio.wait([running])
    tracing.use_tracer(None)
    await publisher.aclose()
    [(kind, _, parent, _)] = [call.args for call in tracer.start.call_args_list]
    assert (kind, parent) == (tracing.Kind.CONSUMER, traceparent)
    span.describe.assert_called_once_with({"suite.outcome": "applied", "suite.replayed": True})


async def test_an_empty_queue_has_nothing_to_replay(broker_url: str) -> None:
    assert await list_parked(broker_url, TOPOLOGY, SPEC, limit=10) == []
    assert await replay_parked(broker_url, TOPOLOGY, SPEC, limit=10, message_id=None, dry_run=False) == []


def test_the_commands_print_json(broker_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()

    async def outbox(_: argparse.Namespace) -> dict[str, int]:
        return {"waiting": 0}

    async def rebuild(options: argparse.Namespace) -> None:
        raise UnavailableError(f"cannot rebuild {options.projection} after {options.after}")

    actions = {"outbox": outbox, "rebuild": rebuild}
    add_commands(parser.add_subparsers(dest="command"), TOPOLOGY, "till", actions, ["bills"])

    def run(*arguments: str) -> tuple[int, Any]:
        status = run_command(parser.parse_args(["events", *arguments]), TOPOLOGY, broker_url, actions)
        printed = capsys.readouterr()
        return status, json.loads(printed.out) if printed.out else printed.err

    assert run("list") == (0, [])
    assert run("show", "--id", "x") == (1, None)
    assert run("outbox") == (0, {"waiting": 0})
    assert run("rebuild", "--after", "7") == (1, "failed: UnavailableError: cannot rebuild bills after 7\n")
    with pytest.raises(SystemExit):
        run("reconcile", "--user", "f5e3e2a8-6f3c-4d52-9d3b-1b7c9a3d5e10")  # the service has no such action


def test_a_broker_that_is_away_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(dest="command"), TOPOLOGY, "till", {})
    options = parser.parse_args(["events", "list"])
    assert run_command(options, TOPOLOGY, "amqp://nobody:x@127.0.0.1:9/", {}) == 1
    assert capsys.readouterr().err.startswith("failed: ")


def test_a_service_without_queues_has_no_commands_about_them() -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers(dest="command"), TOPOLOGY, "shop", {})
    with pytest.raises(SystemExit):
        parser.parse_args(["events", "list"])
