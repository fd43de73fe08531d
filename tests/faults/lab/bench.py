"""One test's shop: its database, virtual host and replicas, every link through a proxy."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import aio_pika
from aio_pika.abc import AbstractChannel
from pymongo import MongoClient
from sqlalchemy import create_engine, insert, select, text
from yarl import URL

from chassis.events.sql_outbox import SHARDS
from chassis.sql import Database, driver_url
from lab import shop
from lab.checker import Verdict, judge, settle
from lab.processes import Program
from lab.proxy import Proxy
from lab.servers import Servers
from localstack import procfs

Result = TypeVar("Result")
_HERE = Path(__file__).parent


def seed() -> int:
    """`FAULTS_SEED`, or a new one; printed, so that a failed run can be repeated."""
    chosen = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(2**31))
    note(f"FAULTS_SEED={chosen}")
    return chosen


def note(text: str) -> None:
    """A figure or a seed for whoever reads the output."""
    sys.stdout.write(f"{text}\n")


class Bench:
    """A shop with its till, and everything that may go wrong between them."""

    def __init__(self, servers: Servers, name: str) -> None:
        self.servers = servers
        self.name = f"{name}_{secrets.token_hex(3)}"
        self.seed = seed()
        self.random = random.Random(self.seed)
        self.broker_link = Proxy(servers.port("rabbitmq"))
        self.consumer_link = Proxy(servers.port("rabbitmq"))
        self.sql_link = Proxy(servers.port("mariadb"))
        self.mongo_link = Proxy(servers.port("mongo"))
        self.programs: list[Program] = []
        self.database_url = str(URL(servers.plan.mysql_url).with_path(f"/{self.name}"))
        self.engine = create_engine(
            driver_url(self.database_url, "pymysql"), isolation_level="AUTOCOMMIT", pool_pre_ping=True
        )
        self.mongo: MongoClient[dict[str, Any]] = MongoClient(servers.plan.mongo_url, uuidRepresentation="standard")
        self.broker_url = str(URL(servers.plan.amqp_url).with_path(f"/{self.name}"))
        self.spec = shop.SPEC
        self.quick: dict[str, Any] = {}

    def open(self) -> None:
        server = create_engine(driver_url(self.servers.plan.mysql_url, "pymysql"), isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {self.name}"))
        server.dispose()
        shop.metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(insert(shop.outbox.shards), [{"shard": number} for number in range(SHARDS)])
        with self.servers.management() as client:
            client.put(f"/api/vhosts/{self.name}").raise_for_status()
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            client.put(f"/api/permissions/{self.name}/admin", json=everything).raise_for_status()

    def close(self) -> None:
        for program in self.programs:
            program.end()
        for link in (self.broker_link, self.consumer_link, self.sql_link, self.mongo_link):
            link.close()
        self.engine.dispose()
        self.mongo.close()

    # Replicas.

    def program(self, role: str, environment: Mapping[str, str] | None = None, **faults: Any) -> Program:
        """Start one replica; its broker link is that of its role."""
        number = len(self.programs)
        link = self.consumer_link if role == "consumer" else self.broker_link
        ops_port = _free_port()
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("STACK_", "LAB_"))},
            "PYTHONPATH": os.pathsep.join([str(_HERE.parent), os.environ.get("PYTHONPATH", "")]),
            "LAB_DATABASE_URL": str(URL(self.database_url).with_port(self.sql_link.port)),
            "LAB_BROKER_URL": str(URL(self.broker_url).with_port(link.port)),
            "LAB_MONGO_URL": f"mongodb://127.0.0.1:{self.mongo_link.port}/{self.name}",
            "LAB_FAULTS": json.dumps(faults),
            "LAB_QUICK": json.dumps(self.quick),
            "LAB_SEED": str(self.seed + number),
            "LAB_OPS_PORT": str(ops_port),
            "LAB_REPLICA": str(number),
            **(environment or {}),
        }
        log = self.servers.folder / f"{self.name}-{number}-{role}.log"
        probe = "" if role in ("writer", "replay") else f"http://127.0.0.1:{ops_port}/livez"
        argv = [sys.executable, "-m", "lab.shop", role]
        program = Program(f"{role}-{number}", argv, variables, log, cwd=_HERE.parent, probe=probe)
        self.programs.append(program)
        return program.start()

    def start(
        self, *, relays: int = 1, consumers: int = 1, **consumer_faults: Any
    ) -> tuple[list[Program], list[Program]]:
        """Start relays and consumers and wait until the consumers consume."""
        started = (
            [self.program("relay") for _ in range(relays)],
            [self.program("consumer", **consumer_faults) for _ in range(consumers)],
        )
        for program in (*started[0], *started[1]):
            program.wait_ready(30)
        self.wait_consumers(consumers)
        return started

    def wait_consumers(self, count: int, seconds: float = 45) -> None:
        """Return when the broker counts this many consumers."""
        self.until(lambda: self.consumers() == count, seconds, f"{count} consumers")

    def consumers(self) -> int:
        """How many consumers the broker feeds."""
        return self.declared(self.spec.name)[1]

    def declared(self, queue: str) -> tuple[int, int]:
        """Ready messages and consumers, by a passive declaration: the management's figures are seconds old."""

        async def ask() -> tuple[int, int]:
            connection = await aio_pika.connect(self.broker_url)
            try:
                channel = await connection.channel()
                found = (await channel.declare_queue(queue, passive=True)).declaration_result
                return found.message_count or 0, found.consumer_count or 0
            except aio_pika.exceptions.ChannelClosed:
                return 0, 0
            finally:
                await connection.close()

        return asyncio.run(ask())

    def on_channel(self, work: Callable[[AbstractChannel], Awaitable[Result]]) -> Result:
        """Do something to the broker behind everybody's back."""

        async def run() -> Result:
            connection = await aio_pika.connect(self.broker_url)
            try:
                return await work(await connection.channel())
            finally:
                await connection.close()

        return asyncio.run(run())

    # Work.

    def write(self, changes: int, orders: int = 40) -> None:
        """Commit changes at once, from this process, past the proxies."""
        self.with_database(lambda database: self._write(database, changes, orders))

    def write_to(self, number: int) -> None:
        """Commit a change of one order, which a random choice may have left out."""
        self.with_database(lambda database: database.transaction(lambda s: shop.change_order(s, number, 1)))

    def write_backlog(self, changes: int) -> None:
        """Commit changes fast, ten to each of many new orders."""

        async def work(database: Database) -> None:
            for first in range(0, changes // 10, 100):
                numbers = range(first, min(first + 100, changes // 10))
                await database.transaction(lambda s, n=numbers: shop.make_orders(s, n, changes=10, amount=7))

        self.with_database(work)

    async def _write(self, database: Database, changes: int, orders: int) -> None:
        slots = asyncio.Semaphore(10)

        async def one() -> None:
            number, amount = self.random.randrange(orders), self.random.randrange(1_000_000)
            async with slots:
                await database.transaction(lambda s: shop.change_order(s, number, amount))

        await asyncio.gather(*(one() for _ in range(changes)))

    def with_database(self, work: Callable[[Database], Awaitable[Result]]) -> Result:
        """Run asynchronous work on the shop's database."""

        async def run() -> Result:
            database = Database(self.database_url, pool_size=20)
            try:
                return await work(database)
            finally:
                await database.aclose()

        return asyncio.run(run())

    # Looking.

    def judge(self, **options: bool) -> Verdict:
        return judge(self.engine, self.mongo, self.name, **options)

    def settle(self, seconds: float = 60) -> Verdict:
        """The verdict when all is quiet; it must be good."""
        verdict = settle(self.judge, seconds)
        try:
            verdict.assert_good()
        except AssertionError:
            for program in self.programs:
                sys.stdout.write(f"--- {program.name}\n{program.tail(12)}\n")
            raise
        return verdict

    def out_of_order(self) -> list[str]:
        """Orders whose events were delivered for the first time in another order than they were committed in."""
        aggregates: dict[str, list[int]] = {}
        seen = set()
        with self.engine.connect() as connection:
            owners = {row.event_id: row.aggregate for row in connection.execute(select(shop.ledger))}
        for row in self.mongo[self.name]["deliveries"].find().sort("_id"):
            if row["event"] not in seen:
                seen.add(row["event"])
                aggregates.setdefault(owners[row["event"]], []).append(row["revision"])
        return [key for key, revisions in aggregates.items() if revisions != sorted(revisions)]

    def newest_delivered(self) -> float:
        """When the newest event was made that has been delivered."""
        rows = self.mongo[self.name]["deliveries"].find({}, {"event": 1})
        return max((_made_at(row["event"]) for row in rows), default=0.0)

    def lags(self, *, but: str = "", since: float = 0) -> list[float]:
        """Sorted seconds from event to its delivery, for events made since then and of all orders but one."""
        with self.engine.connect() as connection:
            left_out = set(connection.scalars(select(shop.ledger.c.event_id).where(shop.ledger.c.aggregate == but)))
        rows = self.mongo[self.name]["deliveries"].find({}, {"event": 1})
        wanted = [row for row in rows if row["event"] not in left_out and _made_at(row["event"]) >= since]
        return sorted(_made_at(row["_id"]) - _made_at(row["event"]) for row in wanted)

    def refused(self) -> int:
        """Events in the outbox that the broker would not take at least once."""
        events = shop.outbox.events
        with self.engine.connect() as connection:
            return len(connection.execute(select(events.c.id).where(events.c.attempts > 0)).all())

    def depth(self, queue: str) -> int:
        """Messages in a queue that nobody has taken."""
        return self.declared(queue)[0]

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait for a condition; returns the seconds it took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < seconds, f"{what}: not within {seconds} s"
            time.sleep(0.1)
        return time.monotonic() - began

    def keep_writing(
        self, seconds: float, change: Callable[[], None], every: float, changes: int = 50, **faults: Any
    ) -> None:
        """Let a writer work while `change` is done again and again: so long, and until it has made its `changes`."""
        writer = self.program("writer", **faults)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline or self.judge().committed < changes:
            time.sleep(every)
            change()
            assert time.monotonic() < deadline + 60, "the writer does not write"
        writer.end()


def _made_at(identifier: uuid.UUID) -> float:
    """The time in a UUIDv7, in seconds."""
    return (identifier.int >> 80) / 1000


def _free_port() -> int:
    for port in random.sample(range(20_000, 22_000), 50):
        if procfs.port_is_free(port):
            return port
    raise AssertionError("no free port")


@contextmanager
def bench(servers: Servers, name: str) -> Iterator[Bench]:
    """A bench for the time of one test."""
    found = Bench(servers, name)
    try:
        found.open()
        yield found
    finally:
        found.close()
