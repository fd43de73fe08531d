"""Outbox and transactions under concurrency and cancelled requests."""

import asyncio
import contextlib
import time

import pytest
from lab import shop as program
from lab.bench import Bench
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import Database, DatabaseUnavailableError

pytestmark = pytest.mark.timeout(120)


def test_t5_one_aggregate_changed_by_many_at_once_keeps_its_order(shop: Bench) -> None:
    writers = [shop.program("writer", orders=1, clients=5, rate=500) for _ in range(2)]
    shop.write(250, orders=1)
    shop.until(lambda: shop.judge().committed >= 500, 40, "500 changes by three processes")
    for writer in writers:
        writer.end()
    with shop.engine.connect() as connection:
        rows = connection.execute(select(program.ledger).order_by(program.ledger.c.outbox_id)).all()
    assert [row.revision for row in rows] == list(range(1, len(rows) + 1))


def test_t6_an_event_whose_transaction_is_slow_is_not_skipped(shop: Bench) -> None:
    shop.start()

    async def work(database: Database) -> None:
        slow = asyncio.create_task(database.transaction(lambda s: program.change_order(s, 1000, 1, pause=3)))
        await asyncio.sleep(0.2)
        for number in range(50):
            await database.transaction(lambda s, n=number: program.change_order(s, n, n))
            await asyncio.sleep(0.02)
        await slow

    shop.with_database(work)
    verdict = shop.settle(20)
    assert verdict.committed == 51


def test_t39_cancelled_requests_leave_no_half_change_and_no_lost_connection(shop: Bench) -> None:
    foreign = 0

    async def work(database: Database) -> None:
        async def request(number: int) -> None:
            nonlocal foreign

            async def change(session: AsyncSession) -> None:
                nonlocal foreign
                echo = (await session.execute(text("SELECT :number"), {"number": number})).scalar_one()
                foreign += int(echo) != number
                await program.change_order(session, number % 50, number)

            # What a client sees when the pool is exhausted is a 503; here only what is left behind counts.
            with contextlib.suppress(DatabaseUnavailableError):
                await database.transaction(change)

        for batch in range(40):
            tasks = [asyncio.create_task(request(batch * 25 + n)) for n in range(25)]
            for _ in tasks:
                await asyncio.sleep(shop.random.uniform(0, 0.002))
                if shop.random.random() < 0.8:
                    shop.random.choice(tasks).cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        began = time.monotonic()
        await asyncio.gather(*(request(n) for n in range(60)))
        assert time.monotonic() - began < 3, "connections were lost from the pool"
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    shop.with_database(work)
    assert foreign == 0
    shop.program("relay")
    shop.program("consumer")
    shop.settle(60)
    with shop.engine.connect() as connection:
        revisions = sum(row.revision for row in connection.execute(select(program.orders)))
        assert len(connection.execute(select(program.ledger)).all()) == revisions
