"""The outbox of a MySQL service: events stored in the transaction of the change, published by a relay."""

import asyncio
import logging
import random
import zlib
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Row,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from chassis.events.envelope import Event, encode
from chassis.events.publisher import Publisher, PublishError
from chassis.sql import TABLE_OPTIONS, BinaryUuid, Database, UtcDateTime

_log = logging.getLogger(__name__)

SHARDS = 16
_BATCH = 200
_BATCH_SECONDS = 10.0
_PARALLEL_AGGREGATES = 50
_IDLE_SECONDS = 0.25
_BACKOFF_SECONDS = (0.2, 5.0)
# A frozen relay loses its shard by itself: the server closes a connection that is silent this long.
_RELAY_SESSION = "SET SESSION wait_timeout = 30"


class SqlOutbox:
    """The outbox tables of one service and the writing of events into them."""

    def __init__(self, metadata: MetaData) -> None:
        self.events = Table(
            "outbox_events",
            metadata,
            Column("id", BigInteger, primary_key=True, autoincrement=True),
            Column("event_id", BinaryUuid, nullable=False, unique=True),
            Column("shard", SmallInteger, nullable=False),
            Column("aggregate", String(96, collation="ascii_bin"), nullable=False),
            Column("revision", BigInteger, nullable=False),
            Column("type", String(128, collation="ascii_bin"), nullable=False),
            Column("headers", String(1000), nullable=False),
            Column("body", MEDIUMBLOB, nullable=False),
            Column("created_at", UtcDateTime, nullable=False, server_default=text("CURRENT_TIMESTAMP(6)")),
            Column("attempts", Integer, nullable=False, server_default=text("0")),
            Column("last_error", String(300)),
            UniqueConstraint("type", "aggregate", "revision"),
            Index(None, "shard", "id"),
            **TABLE_OPTIONS,
        )
        # A relay locks a shard's row, never event rows: two relays would otherwise publish one aggregate out of order.
        self.shards = Table(
            "outbox_shards",
            metadata,
            Column("shard", SmallInteger, primary_key=True, autoincrement=False),
            **TABLE_OPTIONS,
        )

    async def append(self, session: AsyncSession, event: Event) -> None:
        """Store `event` in the session's transaction.

        The aggregate's row must have been changed in this transaction before, so that its lock makes the
        order of ids the order of commits.
        """
        await self.append_many(session, [event])

    async def append_many(self, session: AsyncSession, events: Sequence[Event]) -> None:
        """Store `events` in the session's transaction, in this order."""
        if events:
            await session.execute(insert(self.events), [self._row(event) for event in events])

    def _row(self, event: Event) -> dict[str, Any]:
        headers = {
            "cloudEvents_id": str(event.id),
            "cloudEvents_source": event.source,
            "cloudEvents_subject": event.subject,
            "cloudEvents_specversion": "1.0",
            "traceparent": event.traceparent,
        }
        return {
            "event_id": event.id,
            "shard": zlib.crc32(event.subject.encode()) % SHARDS,
            "aggregate": event.subject,
            "revision": event.revision,
            "type": event.type,
            "headers": orjson.dumps({k: v for k, v in headers.items() if v}).decode(),
            "body": encode(event),
        }


class RelayMetrics:
    """How the outbox is doing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Counter("outbox_published", "Events published.", ("type",), registry=registry)
        self.failures = Counter("outbox_publish_failures", "Publishing attempts that failed.", registry=registry)
        self.depth = Gauge("outbox_depth", "Events that wait to be published.", registry=registry)
        self.age = Gauge("outbox_oldest_seconds", "Age of the oldest waiting event.", registry=registry)


class SqlRelay:
    """Publishes what is in the outbox; any number may run, each shard is worked on by one at a time.

    An event is deleted after the broker has confirmed it. A relay that dies in between leaves it there, and
    it is published again: consumers expect that.
    """

    def __init__(self, database: Database, outbox: SqlOutbox, publisher: Publisher, metrics: RelayMetrics) -> None:
        self._database = database
        self._outbox = outbox
        self._publisher = publisher
        self._metrics = metrics

    async def run(self) -> None:
        """Publish for ever; failures of the database or the broker are waited out."""
        low, high = _BACKOFF_SECONDS
        backoff = low
        while True:
            try:
                published, failed = await self.publish_waiting()
            except (SQLAlchemyError, OSError, PublishError, TimeoutError) as error:
                _log.warning("relay interrupted", extra={"reason": f"{type(error).__name__}: {error}"[:300]})
                published, failed = 0, 1
            if failed:
                await asyncio.sleep(random.uniform(low, backoff))  # noqa: S311 - jitter, no secret
                backoff = min(backoff * 2, high)
                continue
            backoff = low
            if not published:
                await asyncio.sleep(random.uniform(_IDLE_SECONDS / 2, _IDLE_SECONDS))  # noqa: S311 - jitter

    async def publish_waiting(self) -> tuple[int, int]:
        """Publish one batch of every shard that has events and is free: (published, failed)."""
        table = self._outbox.events
        async with self._database.engine.connect() as connection:
            rows = await connection.execute(select(table.c.shard).distinct())
            shards = [row.shard for row in rows]
            await self._measure(connection)
        random.shuffle(shards)
        published = failed = 0
        for shard in shards:
            sent, refused = await self._publish_shard(shard)
            published += sent
            failed += refused
        return published, failed

    async def _measure(self, connection: AsyncConnection) -> None:
        row = (
            await connection.execute(
                text(
                    "SELECT COUNT(*) AS depth, "
                    "COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(created_at), UTC_TIMESTAMP(6)), 0) / 1000000 AS age "
                    "FROM outbox_events"
                )
            )
        ).one()
        self._metrics.depth.set(row.depth)
        self._metrics.age.set(float(row.age))

    async def _publish_shard(self, shard: int) -> tuple[int, int]:
        events, shards = self._outbox.events, self._outbox.shards
        async with self._database.engine.connect() as connection:
            await connection.execute(text(_RELAY_SESSION))
            lock = select(shards.c.shard).where(shards.c.shard == shard).with_for_update(skip_locked=True)
            if (await connection.execute(lock)).first() is None:
                return 0, 0
            rows = (
                await connection.execute(
                    select(events).where(events.c.shard == shard).order_by(events.c.id).limit(_BATCH)
                )
            ).all()
            confirmed, refused = await self._publish_rows(rows)
            if confirmed:
                await connection.execute(delete(events).where(events.c.id.in_(confirmed)))
            if refused:
                await connection.execute(
                    update(events)
                    .where(events.c.id == bindparam("refused_id"))
                    .values(attempts=events.c.attempts + 1, last_error=bindparam("reason")),
                    [{"refused_id": row_id, "reason": reason[:300]} for row_id, reason in refused.items()],
                )
            await connection.commit()
        return len(confirmed), len(refused)

    async def _publish_rows(self, rows: Sequence[Row[Any]]) -> tuple[list[int], dict[int, str]]:
        """In order inside an aggregate, side by side across aggregates; the first failure stops its aggregate."""
        confirmed: list[int] = []
        refused: dict[int, str] = {}
        slots = asyncio.Semaphore(_PARALLEL_AGGREGATES)

        async def publish_aggregate(of_aggregate: list[Row[Any]]) -> None:
            async with slots:
                for row in of_aggregate:
                    try:
                        await self._publisher.publish_event(
                            row.type, str(row.event_id), row.body, orjson.loads(row.headers)
                        )
                    except PublishError as error:
                        refused[row.id] = str(error)
                        self._metrics.failures.inc()
                        return
                    confirmed.append(row.id)
                    self._metrics.published.labels(row.type).inc()

        ordered = sorted(rows, key=lambda row: (row.aggregate, row.id))
        groups = [list(group) for _, group in groupby(ordered, key=lambda row: row.aggregate)]
        tasks = [asyncio.create_task(publish_aggregate(group)) for group in groups]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_BATCH_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return confirmed, refused


async def outbox_status(database_url: str) -> dict[str, Any]:
    """How many events wait in the outbox, since when, and what the last failures were (for operators)."""
    database = Database(database_url, pool_size=1)
    try:
        return await _outbox_status(database)
    finally:
        await database.aclose()


async def _outbox_status(database: Database) -> dict[str, Any]:
    async with database.engine.connect() as connection:
        totals = (
            await connection.execute(text("SELECT COUNT(*) AS waiting, MIN(created_at) AS oldest FROM outbox_events"))
        ).one()
        failing = await connection.execute(
            text(
                "SELECT type, aggregate, attempts, last_error FROM outbox_events "
                "WHERE attempts > 0 ORDER BY id LIMIT 20"
            )
        )
        return {
            "waiting": totals.waiting,
            "oldest": str(totals.oldest) if totals.oldest else None,
            "failing": [dict(row) for row in failing.mappings()],
        }
