"""Whatever lands in a queue: events are applied, everything else is parked, and the consumer goes on."""

import json
import time
import uuid
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from lab import shop as program
from lab.bench import Bench

from chassis.events.envelope import MAX_BYTES, Event, encode

pytestmark = pytest.mark.timeout(120)


def _event(**change: Any) -> bytes:
    """An event of the shop with some members changed; None leaves one out."""
    data = {"orderId": 5000, "revision": 1, "amount": 1}
    document = {**json.loads(encode(Event(program.CHANGED, "/shop", "order/5000", data))), **change}
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def _of_revision(revision: object) -> bytes:
    return _event(data={"orderId": 5000, "revision": revision, "amount": 1})


NO_EVENTS = {
    "nothing": b"",
    "half": _event()[:-20],
    "no object": b"null",
    "no text": b"\xff\xfe",
    "not a number": _of_revision(float("nan")),
    "revision as text": _of_revision("17"),
    "revision as fraction": _of_revision(1.5),
    "no revision": _event(data={"orderId": 5000}),
    "too large": _event(filler="x" * 1024 * 1024),
    "just too large": _event(filler="x" * MAX_BYTES),
    "unknown major version": _event(type="shop.order.changed.v2"),
    "unknown type": _event(type="shop.order.painted.v1"),
    "another specification": _event(specversion="0.3"),
    **{
        f"no {name}": _event(**{name: None})
        for name in ("specversion", "id", "type", "source", "subject", "time", "data")
    },
}


def test_t31_what_is_no_event_is_parked_and_the_consumer_goes_on(shop: Bench) -> None:
    shop.start()

    async def send(channel: AbstractChannel) -> None:
        for body in NO_EVENTS.values():
            await channel.default_exchange.publish(aio_pika.Message(body), shop.spec.name)
        # An event in binary mode: its attributes are headers, its body is the data alone.
        headers = {"cloudEvents:specversion": "1.0", "cloudEvents:type": program.CHANGED, "cloudEvents:id": "1"}
        await channel.default_exchange.publish(aio_pika.Message(b'{"revision":1}', headers=headers), shop.spec.name)

    shop.on_channel(send)
    shop.write(20)
    shop.settle(20)
    shop.until(lambda: shop.depth(shop.spec.parked_queue) == len(NO_EVENTS) + 1, 10, "all of them parked")
    assert shop.programs[1].starts == 1


def test_t31_the_event_that_these_were_made_of_is_one(shop: Bench) -> None:
    shop.program("consumer").wait_ready()
    shop.wait_consumers(1)
    unknown_members = _event(id=str(uuid.uuid4()), later={"a": [1]}, dataschema="urn:something:1.7")

    async def send(channel: AbstractChannel) -> None:
        await channel.default_exchange.publish(aio_pika.Message(unknown_members), shop.spec.name)

    shop.on_channel(send)
    deadline = time.monotonic() + 20
    while shop.mongo[shop.name]["orders"].find_one({"_id": "order/5000"}) is None:
        assert time.monotonic() < deadline, "what is no fault was refused"
        time.sleep(0.05)
    assert shop.depth(shop.spec.parked_queue) == 0
