"""Waiting with a limit, and a database client that hangs."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pymongo import lock

from chassis import deadlines
from chassis import mongo as mongo_module
from chassis.deadlines import stop, within
from chassis.mongo import Mongo


async def test_what_ends_in_time_is_returned_and_what_fails_is_raised() -> None:
    async def seven() -> int:
        return 7

    async def fail() -> None:
        raise LookupError

    assert await within(1, seven()) == 7
    with pytest.raises(LookupError):
        await within(1, fail())


async def test_late_work_is_given_up_but_not_interrupted() -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        ended.set()
        raise LookupError

    with pytest.raises(TimeoutError):
        await within(0.01, work())
    go_on.set()
    await asyncio.wait_for(ended.wait(), 5)


async def test_work_is_not_interrupted_when_nobody_waits_for_it_any_more() -> None:
    go_on, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        ended.set()
        raise LookupError

    waiting = asyncio.create_task(within(60, work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    await asyncio.wait_for(ended.wait(), 5)


def test_the_end_of_the_process_ends_the_work_too() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async def main() -> None:
        waiting = asyncio.create_task(within(60, work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(main())
    assert ended == ["work"]


async def test_a_wait_of_the_store_s_client_that_is_cancelled_as_it_ends_leaves_its_lock_alone() -> None:
    guard = lock._async_create_lock()
    condition = lock._async_create_condition(guard)
    waits = asyncio.Event()

    async def wait() -> None:
        async with guard:
            waits.set()
            await lock._async_cond_wait(condition, 0.05)

    waiting = asyncio.create_task(wait())
    await waits.wait()
    async with guard:
        # Its time is over meanwhile, and it cannot go on without the lock.
        await asyncio.sleep(0.2)
        waiting.cancel()
        await asyncio.sleep(0.05)
        assert not waiting.done(), "it would have given back a lock that it does not hold"
    await asyncio.wait({waiting}, timeout=5)
    assert waiting.cancelled()
    assert not guard.locked(), "nobody else has taken it"


async def test_what_loses_a_cancellation_is_stopped_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "_CANCEL_AGAIN_SECONDS", 0.01)
    lost = asyncio.Event()

    async def loses_the_first() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost.is_set():
                    raise
                lost.set()

    async def fails_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError

    async def ended() -> None: ...

    tasks = [asyncio.create_task(work()) for work in (loses_the_first, fails_at_the_end, ended)]
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await stop(*tasks)
    assert lost.is_set()
    assert all(task.done() for task in tasks)
    await stop()


@pytest.fixture
async def mongo(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mongo]:
    monkeypatch.setattr(mongo_module, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(mongo_module, "_HANGS_AFTER_SECONDS", 0.05)
    client = Mongo("mongodb://127.0.0.1:9/none")
    yield client
    await client.aclose()


async def test_a_client_that_hangs_ends_its_process(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> None:
        await asyncio.sleep(1)

    codes: list[int] = []
    monkeypatch.setattr(mongo, "ping", hang)
    await asyncio.wait_for(mongo.watch(codes.append), 5)
    assert codes == [70]


async def test_a_store_that_is_away_ends_nothing(mongo: Mongo, monkeypatch: pytest.MonkeyPatch) -> None:
    pings = asyncio.Semaphore(0)

    async def fail() -> None:
        pings.release()
        raise ConnectionError

    codes: list[int] = []
    monkeypatch.setattr(mongo, "ping", fail)
    watching = asyncio.create_task(mongo.watch(codes.append))
    for _ in range(3):
        await asyncio.wait_for(pings.acquire(), 5)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert codes == []
