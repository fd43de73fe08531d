"""A small producer and consumer on the suite's own events: orders in SQL, their projection in MongoDB.

`python -m lab.shop writer|relay|consumer` runs one replica; settings and faults to inject come from the environment.
What a writer commits it also writes down in the same transaction (`ledger`), and a consumer writes down whatever
reaches it (`deliveries`): the checker compares the two.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from pymongo.errors import DuplicateKeyError
from sqlalchemy import BigInteger, Column, Integer, String, Table, insert, select, text
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import context
from chassis.app import create_app
from chassis.clock import require_agreement
from chassis.events import sql_outbox, topology
from chassis.events.consumer import Consumer, ConsumerMetrics
from chassis.events.envelope import Event
from chassis.events.operator import replay_parked
from chassis.events.publisher import Publisher
from chassis.events.sql_outbox import RelayMetrics, SqlOutbox, SqlRelay
from chassis.events.topology import Binding, QueueSpec, Topology
from chassis.ids import new_id
from chassis.logging import configure_logging
from chassis.metrics import new_registry
from chassis.mongo import Mongo, translate_outage
from chassis.process import run_worker, run_worker_process
from chassis.settings import ProcessSettings
from chassis.sql import TABLE_OPTIONS, BinaryUuid, Database, DatabaseUnavailableError, new_metadata

CHANGED = "shop.order.changed.v1"
QUEUE = "till.orders.v1"
SPEC = QueueSpec(QUEUE, (Binding("shop.events", CHANGED),))
TOPOLOGY = Topology(exchanges=("shop.events",), queues=(SPEC,))

metadata = new_metadata()
outbox = SqlOutbox(metadata)
orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
    Column("amount", Integer, nullable=False),
    **TABLE_OPTIONS,
)
ledger = Table(
    "ledger",
    metadata,
    Column("event_id", BinaryUuid, primary_key=True),
    Column("aggregate", String(96), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("outbox_id", BigInteger),
    **TABLE_OPTIONS,
)


async def change_order(session: AsyncSession, number: int, amount: int, pause: float = 0) -> Event:
    """One business change with its event, in the session's transaction."""
    # LAST_INSERT_ID carries the new revision out of the row that this statement has locked.
    await session.execute(
        mysql_insert(orders)
        .values(id=number, revision=text("LAST_INSERT_ID(1)"), amount=amount)
        .on_duplicate_key_update(revision=text("LAST_INSERT_ID(revision + 1)"), amount=amount)
    )
    revision = int((await session.execute(text("SELECT LAST_INSERT_ID()"))).scalar_one())
    event = Event(CHANGED, "/shop", f"order/{number}", {"orderId": number, "revision": revision, "amount": amount})
    await outbox.append(session, event)
    row = select(outbox.events.c.id).where(outbox.events.c.event_id == event.id).scalar_subquery()
    await session.execute(
        insert(ledger).values(event_id=event.id, aggregate=event.subject, revision=revision, outbox_id=row)
    )
    if pause:
        await asyncio.sleep(pause)
    return event


async def make_orders(session: AsyncSession, numbers: Sequence[int], changes: int, amount: int) -> None:
    """New orders, each changed so many times, with all their events; as few statements as possible."""
    await session.execute(insert(orders), [{"id": n, "revision": changes, "amount": amount} for n in numbers])
    events = [
        Event(CHANGED, "/shop", f"order/{n}", {"orderId": n, "revision": revision, "amount": amount})
        for revision in range(1, changes + 1)
        for n in numbers
    ]
    await outbox.append_many(session, events)
    entries = [{"event_id": e.id, "aggregate": e.subject, "revision": e.revision} for e in events]
    await session.execute(insert(ledger), entries)


class Faults:
    """What the environment asks to go wrong: `LAB_FAULTS` holds a JSON object."""

    def __init__(self) -> None:
        self._faults: dict[str, Any] = json.loads(os.environ.get("LAB_FAULTS", "{}"))
        self._counts: dict[str, int] = {}
        self.random = random.Random(os.environ.get("LAB_SEED"))

    def get(self, name: str, default: Any = None) -> Any:
        return self._faults.get(name, default)

    def die_at(self, name: str) -> None:
        """SIGKILL to itself when this is passed for the n-th time."""
        self._counts[name] = self._counts.get(name, 0) + 1
        if self._counts[name] == self._faults.get(name):
            os.kill(os.getpid(), signal.SIGKILL)


def quicken() -> None:
    """A ladder and a delivery limit that a test can live through: `LAB_QUICK` holds both, as JSON."""
    quick = json.loads(os.environ.get("LAB_QUICK", "{}"))
    topology.RETRY_DELAYS.update(quick.get("delays", {}))
    topology.DELIVERY_LIMIT = quick.get("limit", topology.DELIVERY_LIMIT)


def _settings() -> ProcessSettings:
    return ProcessSettings(port=0, ops_port=int(os.environ.get("LAB_OPS_PORT", "0")))


async def write() -> None:
    """Change random orders until stopped."""
    faults = Faults()
    database = Database(os.environ["LAB_DATABASE_URL"])

    async def one() -> None:
        while True:
            number = faults.random.randrange(faults.get("orders", 40))
            amount = faults.random.randrange(1_000_000)
            try:
                await database.transaction(partial(change_order, number=number, amount=amount))
            except DatabaseUnavailableError:
                await asyncio.sleep(0.1)
            await asyncio.sleep(faults.random.expovariate(faults.get("rate", 50.0)))

    await asyncio.gather(*(one() for _ in range(faults.get("clients", 4))))


class _DyingPublisher(Publisher):
    """Dies after a confirm, or after a copy for the retry ladder."""

    faults: Faults

    async def publish(self, exchange: str, routing_key: str, *arguments: Any, **more: Any) -> None:
        if exchange and (pause := self.faults.get("publish-pause")):
            await asyncio.sleep(pause)
        await super().publish(exchange, routing_key, *arguments, **more)
        self.faults.die_at("die-after-confirm" if exchange else "die-after-move")


async def relay() -> None:
    """Publish the outbox."""
    faults = Faults()
    if seconds := faults.get("lock-seconds"):
        sql_outbox._LOCK_SECONDS = seconds
    database = Database(os.environ["LAB_DATABASE_URL"])
    publisher = _DyingPublisher(os.environ["LAB_BROKER_URL"], f"shop-relay-{os.getpid()}", TOPOLOGY)
    publisher.faults = faults
    registry = new_registry()
    work = SqlRelay(database, outbox, publisher, RelayMetrics(registry), heartbeat_of="shop")
    checks = {"clock": partial(require_agreement, database.now)}
    app = create_app(title="shop relay", routers=[], checks=checks, registry=registry)
    try:
        await run_worker({"relay": work.run}, app, _settings())
    finally:
        await publisher.aclose()
        await database.aclose()


def handler_of(mongo: Mongo, faults: Faults) -> Callable[[Event], Awaitable[None]]:
    projection = mongo.database["orders"]
    deliveries = mongo.database["deliveries"]
    refusals = mongo.database["refusals"]
    replica = os.environ.get("LAB_REPLICA", "")

    async def apply(event: Event) -> None:
        # By key alone, the guard inside the update: SecantusDB reads the whole collection for `{_id, revision: {$lt}}`.
        newer = {"$lt": [{"$ifNull": ["$revision", 0]}, event.revision]}
        history = {"$concatArrays": [{"$ifNull": ["$history", []]}, [event.revision]]}
        changed = {"_id": "$_id", "revision": event.revision, "amount": event.data["amount"], "history": history}
        guarded = [{"$replaceWith": {"$cond": [newer, changed, "$$ROOT"]}}]
        try:
            await projection.update_one({"_id": event.subject}, guarded, upsert=True)
        except DuplicateKeyError:
            # Somebody has made the document a moment ago.
            await projection.update_one({"_id": event.subject}, guarded)

    async def handle(event: Event) -> None:
        if event.subject == faults.get("exit-on"):
            os.kill(os.getpid(), signal.SIGKILL)
        if event.subject == faults.get("raise-on"):
            await refusals.insert_one({"_id": new_id(), "event": event.id, "at": time.time()})
            raise ValueError("this order cannot be applied")
        async with translate_outage():
            if not faults.get("uncounted"):
                await deliveries.insert_one(
                    {
                        "_id": new_id(),
                        "event": event.id,
                        "revision": event.revision,
                        "replica": replica,
                        "trace": context.trace_id(),
                    }
                )
            for _ in range(faults.get("times", 1)):
                await apply(event)
        if pause := faults.get("pause"):
            await asyncio.sleep(pause)
        faults.die_at("die-after-write")

    return handle


async def consume() -> None:
    """Keep the projection."""
    faults = Faults()
    mongo = Mongo(os.environ["LAB_MONGO_URL"])
    broker_url = os.environ["LAB_BROKER_URL"]
    publisher = _DyingPublisher(broker_url, f"till-publisher-{os.getpid()}", TOPOLOGY)
    publisher.faults = faults
    registry = new_registry()
    handlers = {CHANGED: handler_of(mongo, faults)}
    metrics = ConsumerMetrics(registry)
    consumer = Consumer(broker_url, f"till-{os.getpid()}", TOPOLOGY, QUEUE, handlers, publisher, metrics)
    checks = {"clock": partial(require_agreement, mongo.now)}
    app = create_app(title="till", routers=[], checks=checks, registry=registry)
    try:
        await run_worker({"orders": consumer.run}, app, _settings())
    finally:
        await publisher.aclose()
        await mongo.aclose()


async def replay() -> None:
    """The operator's command."""
    await replay_parked(os.environ["LAB_BROKER_URL"], TOPOLOGY, SPEC, limit=100_000, message_id=None, dry_run=False)


ROLES = {"writer": write, "relay": relay, "consumer": consume, "replay": replay}

if __name__ == "__main__":
    configure_logging(sys.argv[1], "INFO")
    quicken()
    run_worker_process(ROLES[sys.argv[1]])
