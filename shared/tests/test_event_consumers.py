"""What consumers and listeners do when something fails, on the real broker."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from shop_events import (
    DOOR_OPENED,
    HEARTBEAT,
    NOWHERE,
    QUEUE,
    SPEC,
    TOPOLOGY,
    channel_to,
    consumer_of,
    eventually,
    order,
    publish,
    running,
    take,
    wait_for_depth,
)

from chassis.errors import UnavailableError
from chassis.events import consumer as consumer_module
from chassis.events import pulse as pulse_module
from chassis.events.broadcast import BroadcastListener
from chassis.events.connection import BrokerConnectionLostError
from chassis.events.consumer import Consumer
from chassis.events.envelope import Event, encode
from chassis.events.publisher import Publisher
from chassis.events.pulse import Pulse
from chassis.testing.servers import broker_vhost


@pytest.fixture
def vhost() -> Iterator[str]:
    """A virtual host of the test's own: these tests delete queues and leave messages behind."""
    with broker_vhost("consumers") as url:
        yield url


@pytest.fixture
async def publisher(vhost: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(vhost, "test-publisher", TOPOLOGY)
    yield publisher
    await publisher.aclose()


async def test_a_consumer_learns_at_once_that_its_queue_was_deleted(vhost: str, publisher: Publisher) -> None:
    async def handler(event: Event) -> None:
        return

    async with running(consumer_of(vhost, publisher, handler)) as task:
        async with channel_to(vhost) as channel:
            await (await channel.get_queue(QUEUE)).delete(if_unused=False, if_empty=False)
        with pytest.raises(BrokerConnectionLostError):
            async with asyncio.timeout(1):
                await task


async def test_what_is_under_way_when_its_channel_fails_is_delivered_again_and_not_parked(
    vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels: list[AbstractChannel] = []
    original = Consumer._start

    async def start(self: Consumer, channel: AbstractChannel, message: AbstractIncomingMessage) -> None:
        channels.append(channel)
        await original(self, channel, message)

    async def handler(event: Event) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Consumer, "_start", start)
    async with running(consumer_of(vhost, publisher, handler)) as task:
        await publish(publisher, order(1))
        await eventually(lambda: bool(channels))
        # A tag that was never given: the broker closes the channel, as it does when an acknowledgement is too late.
        await (await channels[0].get_underlay_channel()).basic_ack(999)
        with pytest.raises(BrokerConnectionLostError):
            async with asyncio.timeout(5):
                await task
    await wait_for_depth(vhost, QUEUE, 1)
    await wait_for_depth(vhost, SPEC.parked_queue, 0)


def test_silence_counts_only_after_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(pulse_module.time, "monotonic", lambda: now)
    pulse = Pulse()
    pulse.heard(heartbeat=False)
    now += 1000
    assert not pulse.is_lost(listeners=1)
    pulse.heard(heartbeat=True)
    now += 29
    assert not pulse.is_lost(listeners=1)
    now += 2
    assert pulse.is_lost(listeners=1)
    assert not pulse.is_lost(listeners=3)
    pulse.heard(heartbeat=False)
    assert not pulse.is_lost(listeners=1)


async def test_a_consumer_that_is_not_fed_any_more_ends(
    vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "_WATCHDOG_SECONDS", 0.1)
    monkeypatch.setattr(pulse_module, "HEARTBEAT_SECONDS", 0.2)

    async def handler(event: Event) -> None:
        return

    async with running(consumer_of(vhost, publisher, handler)) as task:
        await asyncio.sleep(1)
        assert not task.done()
        await publish(publisher, order(1, event_type=HEARTBEAT))
        with pytest.raises(BrokerConnectionLostError):
            async with asyncio.timeout(3):
                await task


async def test_while_no_copy_can_be_made_the_original_is_kept_and_not_counted(vhost: str, publisher: Publisher) -> None:
    broken = Publisher(NOWHERE, "test-broken", TOPOLOGY)

    calls = 0

    async def handler(event: Event) -> None:
        nonlocal calls
        calls += 1
        raise ValueError("cannot apply")

    async with running(consumer_of(vhost, broken, handler)) as task:
        await publish(publisher, order(1))
        await asyncio.sleep(2)
        assert not task.done()
        broken._broker_url = vhost
        await wait_for_depth(vhost, SPEC.retry_queue("5s"), 1)
    await broken.aclose()
    message = await take(vhost, SPEC.retry_queue("5s"))
    assert message.headers["x-attempt"] == 1
    assert calls == 3


async def test_a_message_that_cannot_be_settled_goes_back_to_the_queue(
    vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(event: Event) -> None:
        return

    async def fail(*_: object) -> str:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Consumer, "_settle", fail)
    async with running(consumer_of(vhost, publisher, handler)) as task:
        await publish(publisher, order(1))
        with pytest.raises(BrokerConnectionLostError):
            async with asyncio.timeout(5):
                await task
    await wait_for_depth(vhost, QUEUE, 1)


async def test_a_consumer_stops_quickly_although_its_store_is_away(vhost: str, publisher: Publisher) -> None:
    calls = 0

    async def handler(event: Event) -> None:
        nonlocal calls
        calls += 1
        raise UnavailableError

    consumer = consumer_of(vhost, publisher, handler)
    async with running(consumer):
        for number in range(20):
            await publish(publisher, order(number))
        await eventually(lambda: calls >= 16)
        began = time.monotonic()
    assert time.monotonic() - began < 3
    await wait_for_depth(vhost, QUEUE, 20)


async def test_an_outage_longer_than_the_broker_waits_defers_the_message_uncounted(
    vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "_HOLD_SECONDS", 0.2)

    async def handler(event: Event) -> None:
        raise UnavailableError

    async with running(consumer_of(vhost, publisher, handler)):
        await publish(publisher, order(1))
        await wait_for_depth(vhost, SPEC.retry_queue("600s"), 1)
    assert "x-attempt" not in (await take(vhost, SPEC.retry_queue("600s"))).headers


async def test_a_handler_that_hangs_has_failed(
    vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "HANDLER_SECONDS", 0.1)

    async def handler(event: Event) -> None:
        await asyncio.Event().wait()

    async with running(consumer_of(vhost, publisher, handler)):
        await publish(publisher, order(1))
        await wait_for_depth(vhost, SPEC.retry_queue("5s"), 1)


async def test_events_that_fail_do_not_hold_the_places_of_others(
    vhost: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "_IMMEDIATE_PAUSES", (0.0, 3.0, 3.0))
    applied: list[str] = []

    async def handler(event: Event) -> None:
        if event.revision == 1:
            raise ValueError("cannot apply")
        applied.append(event.subject)

    async with running(consumer_of(vhost, publisher, handler)):
        for number in range(consumer_module.CONCURRENCY):
            await publish(publisher, order(number))
        await publish(publisher, order(99, revision=2))
        await eventually(lambda: applied == ["order/99"], seconds=4)
        await wait_for_depth(vhost, SPEC.retry_queue("5s"), consumer_module.CONCURRENCY)


@pytest.mark.parametrize("attempt", ["seven", -1, 2.5, None])
async def test_a_foreign_attempt_header_counts_as_none(vhost: str, publisher: Publisher, attempt: object) -> None:
    async def handler(event: Event) -> None:
        raise ValueError("cannot apply")

    async with running(consumer_of(vhost, publisher, handler)):
        await publisher.publish("", QUEUE, encode(order(1)), message_id="x", headers={"x-attempt": attempt})
        await wait_for_depth(vhost, SPEC.retry_queue("5s"), 1)
    assert (await take(vhost, SPEC.retry_queue("5s"))).headers["x-attempt"] == 1


async def test_a_listener_that_could_not_apply_an_event_starts_again_from_the_snapshot(
    vhost: str, publisher: Publisher
) -> None:
    async def on_bound() -> None:
        return

    def on_event(event: Event) -> None:
        raise KeyError("sid")

    types = [DOOR_OPENED]
    listener = BroadcastListener(vhost, "test-listener", TOPOLOGY, types, on_bound, on_event)
    task = asyncio.create_task(listener.run())
    await eventually(lambda: listener.is_listening)
    await publish(publisher, order(1, event_type=DOOR_OPENED))
    with pytest.raises(BrokerConnectionLostError):
        async with asyncio.timeout(2):
            await task
