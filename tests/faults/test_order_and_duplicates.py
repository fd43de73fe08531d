"""Duplicates and reordering change nothing: the guard by revision, on the real store."""

import asyncio
import itertools
import random

import pytest
from lab import shop as program
from lab.bench import Bench

from chassis.events.envelope import Event
from chassis.mongo import Mongo

pytestmark = pytest.mark.timeout(120)


def _event(subject: str, revision: int) -> Event:
    data = {"orderId": 1, "revision": revision, "amount": revision * 10}
    return Event(program.CHANGED, "/shop", subject, data)


def _apply(shop: Bench, batches: list[list[Event]]) -> None:
    """Each batch in its order, batches side by side."""

    async def run() -> None:
        mongo = Mongo(f"{shop.servers.plan.mongo_url}/{shop.name}")
        handle = program.handler_of(mongo, program.Faults())
        slots = asyncio.Semaphore(16)

        async def one(batch: list[Event]) -> None:
            async with slots:
                for event in batch:
                    await handle(event)

        await asyncio.gather(*(one(batch) for batch in batches))
        await mongo.aclose()

    asyncio.run(run())


def test_t18_every_event_handled_twice_gives_the_same_state(shop: Bench) -> None:
    shop.program("relay")
    shop.program("consumer", times=2)
    shop.write(150)
    verdict = shop.settle(30)
    assert verdict.committed == 150


def test_t19_every_order_of_five_revisions_ends_in_the_newest(shop: Bench) -> None:
    orders = list(itertools.permutations(range(1, 6)))
    _apply(shop, [[_event(f"order/{n}", revision) for revision in order] for n, order in enumerate(orders)])
    for row in shop.mongo[shop.name]["orders"].find():
        assert (row["revision"], row["amount"]) == (5, 50)
        assert row["history"] == sorted(set(row["history"]))
    assert shop.mongo[shop.name]["orders"].count_documents({}) == len(orders) == 120


def test_t19_a_thousand_events_in_any_order_and_at_once_end_in_the_newest(shop: Bench) -> None:
    events = [_event(f"order/{number}", revision) for number in range(50) for revision in range(1, 21)]
    random.Random(shop.seed).shuffle(events)
    _apply(shop, [[event] for event in events])
    for row in shop.mongo[shop.name]["orders"].find():
        assert (row["revision"], row["amount"]) == (20, 200)
        assert row["history"] == sorted(set(row["history"]))
    assert shop.mongo[shop.name]["orders"].count_documents({}) == 50
