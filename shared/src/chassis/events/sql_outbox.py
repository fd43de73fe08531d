"""The outbox of a MySQL service: events stored in the transaction of the change, published by a relay."""

import asyncio
import logging
import random
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

import orjson
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

from chassis.events.envelope import Event, encode, headers_of
from chassis.events.metrics import RelayMetrics
from chassis.events.publisher import MessageRefusedError, Publisher, PublishError
from chassis.events.pulse import HEARTBEAT_SECONDS, heartbeat
from chassis.sql import TABLE_OPTIONS, BinaryUuid, Database, UtcDateTime

_log = logging.getLogger(__name__)

SHARDS = 16
# Some, so that a slow link is used well; not all, so that other relays have their share.
_SHARDS_AT_ONCE = 4
_BATCH = 100
_BATCH_SECONDS = 10.0
_PARALLEL_AGGREGATES = 50
# Half of it on average is what waiting costs between commit and publishing.
_IDLE_SECONDS = 0.05
_MEASURE_SECONDS = 5.0
_BACKOFF_SECONDS = (0.2, 5.0)
# A frozen relay loses its shard by itself: the server closes a connection that is silent this long.
_LOCK_SECONDS = 30
# The age by the primary key: the oldest by time would be a scan of all bodies.
_DEPTH_AND_AGE = text(
    "SELECT (SELECT COUNT(*) FROM outbox_events), COALESCE((SELECT TIMESTAMPDIFF(MICROSECOND, created_at, "
    "UTC_TIMESTAMP(6)) / 1000000 FROM outbox_events ORDER BY id LIMIT 1), 0)"
)


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
            await session.execute(insert(self.events), [self.row(event) for event in events])

    def row(self, event: Event) -> dict[str, Any]:
        """The values of the row that holds `event`."""
        return {
            "event_id": event.id,
            "shard": zlib.crc32(event.subject.encode()) % SHARDS,
            "aggregate": event.subject,
            "revision": event.revision,
            "type": event.type,
            "headers": orjson.dumps(headers_of(event)).decode(),
            "body": encode(event),
        }


class SqlRelay:
    """Publishes what is in the outbox; any number may run, each shard is worked on by one at a time.

    An event is deleted after the broker has confirmed it. A relay that dies in between leaves it there, and
    it is published again: consumers expect that. With `heartbeat_of` (the service's name) it also sends a
    heartbeat through the outbox every 10 s, by which consumers know that the whole way works.
    """

    def __init__(
        self,
        database: Database,
        outbox: SqlOutbox,
        publisher: Publisher,
        metrics: RelayMetrics,
        *,
        heartbeat_of: str | None = None,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._publisher = publisher
        self._metrics = metrics
        self._heartbeat_of = heartbeat_of
        self._heartbeat_sender = secrets.token_hex(8)
        self._heartbeat_at = self._measured_at = 0.0
        # Aggregates whose event the broker refused, and until when they wait so that the others flow.
        self._resting: dict[str, float] = {}

    async def run(self) -> None:
        """Publish for ever; failures of the database or the broker are waited out.

        When it is cancelled it first finishes the batch that it has begun.
        """
        low, high = _BACKOFF_SECONDS
        backoff = low
        while True:
            try:
                async with self._connected() as connection:
                    while await self._pass(connection):
                        backoff = low
            except (SQLAlchemyError, OSError, EOFError, PublishError, TimeoutError) as error:
                _log.warning("relay interrupted", extra={"reason": f"{type(error).__name__}: {error}"[:300]})
            await asyncio.sleep(random.uniform(low, backoff))  # noqa: S311 - jitter, no secret
            backoff = min(backoff * 2, high)

    async def _pass(self, connection: AsyncConnection) -> bool:
        """Publish what waits, else pause; False when the broker cannot be used."""
        batch = asyncio.create_task(self._publish_waiting(connection))
        try:
            published, failed = await asyncio.shield(batch)
        except asyncio.CancelledError:
            await asyncio.wait([batch], timeout=_BATCH_SECONDS + 2)
            batch.cancel()
            raise
        if failed and not self._publisher.is_connected:
            return False
        if not published:
            await asyncio.sleep(random.uniform(_IDLE_SECONDS / 2, _IDLE_SECONDS))  # noqa: S311 - jitter
        return True

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the relay's own: what is set on its session must not come back to the pool."""
        async with self._database.engine.connect() as connection:
            try:
                await connection.execute(text(f"SET SESSION wait_timeout = {_LOCK_SECONDS}"))
                yield connection
            finally:
                await connection.invalidate()

    async def publish_waiting(self) -> tuple[int, int]:
        """Publish one batch of every shard that has events and is free: (published, failed)."""
        async with self._connected() as connection:
            return await self._publish_waiting(connection)

    async def _publish_waiting(self, connection: AsyncConnection) -> tuple[int, int]:
        events = self._outbox.events
        await self._send_heartbeat(connection)
        shards = list((await connection.execute(select(events.c.shard).distinct())).scalars())
        await self._measure(connection, waiting=bool(shards))
        await connection.rollback()
        if shards and not await self._broker_is_there():
            return 0, 1
        random.shuffle(shards)
        published = failed = 0
        for start in range(0, len(shards), _SHARDS_AT_ONCE):
            sent, refused = await self._publish_shards(connection, shards[start : start + _SHARDS_AT_ONCE])
            published += sent
            failed += refused
        return published, failed

    async def _send_heartbeat(self, connection: AsyncConnection) -> None:
        now = time.monotonic()
        if self._heartbeat_of is None or now < self._heartbeat_at:
            return
        self._heartbeat_at = now + HEARTBEAT_SECONDS
        if not await self._broker_is_there():
            return
        event = heartbeat(self._heartbeat_of, self._heartbeat_sender)
        await connection.execute(insert(self._outbox.events), [self._outbox.row(event)])
        await connection.commit()

    async def _measure(self, connection: AsyncConnection, *, waiting: bool) -> None:
        now = time.monotonic()
        if waiting and now < self._measured_at:
            return
        self._measured_at = now + _MEASURE_SECONDS
        depth, age = 0, 0.0
        if waiting:
            depth, age = (await connection.execute(_DEPTH_AND_AGE)).one()
        self._metrics.depth.set(depth)
        self._metrics.age.set(float(age))

    async def _broker_is_there(self) -> bool:
        """Looked at before a shard is locked, so that an outage writes nothing."""
        try:
            await self._publisher.connect()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing can be published
            self._metrics.failures.inc()
            _log.warning("broker unavailable", extra={"reason": f"{type(error).__name__}: {error}"[:300]})
            return False
        return True

    async def _publish_shards(self, connection: AsyncConnection, wanted: Sequence[int]) -> tuple[int, int]:
        """Lock those of the shards that are free, and publish a batch of each."""
        events = self._outbox.events
        resting = self._still_resting()
        rows: list[Row[Any]] = []
        for shard in wanted:
            if await self._lock(connection, shard):
                waiting = select(events).where(events.c.shard == shard, events.c.aggregate.not_in(resting))
                rows += (await connection.execute(waiting.order_by(events.c.id).limit(_BATCH))).all()
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

    async def _lock(self, connection: AsyncConnection, shard: int) -> bool:
        # By key, one at a time: a statement that looks for a free shard locks every row that it looks at.
        shards = self._outbox.shards
        lock = select(shards.c.shard).where(shards.c.shard == shard).with_for_update(skip_locked=True)
        return (await connection.execute(lock)).first() is not None

    def _still_resting(self) -> list[str]:
        now = time.monotonic()
        self._resting = {aggregate: until for aggregate, until in self._resting.items() if until > now}
        return list(self._resting)

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
                        if isinstance(error, MessageRefusedError):
                            self._rest(row)
                        return
                    confirmed.append(row.id)
                    self._metrics.published.labels(row.type).inc()

        ordered = sorted(rows, key=lambda row: (row.aggregate, row.id))
        groups = [list(group) for _, group in groupby(ordered, key=lambda row: row.aggregate)]
        tasks = [asyncio.create_task(publish_aggregate(group)) for group in groups]
        if tasks:
            try:
                await asyncio.wait(tasks, timeout=_BATCH_SECONDS)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return confirmed, refused

    def _rest(self, row: Row[Any]) -> None:
        low, high = _BACKOFF_SECONDS
        self._resting[row.aggregate] = time.monotonic() + min(low * 2 ** min(row.attempts, 10), high)
        _log.warning("event refused", extra={"event": str(row.event_id), "type": row.type, "attempts": row.attempts})


async def outbox_status(database: Database) -> dict[str, Any]:
    """How many events wait in the outbox, since when, and what the last failures were (for operators)."""
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


__all__ = ["SHARDS", "RelayMetrics", "SqlOutbox", "SqlRelay", "outbox_status"]
