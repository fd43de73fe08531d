"""One of N workers does the job; one that is killed or frozen is succeeded, and cannot write any more."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.domain.genres import GenreChanges
from catalog.jobs.leader import Leader
from catalog.storage.leases import LeaseLostError


async def test_a_lease_has_one_holder_at_a_time(resources: Any) -> None:
    leases = resources.leases

    taken = await asyncio.gather(*(leases.acquire("sync", f"worker-{n}", 5000) for n in range(50)))

    assert len([held for held in taken if held is not None]) == 1


async def test_a_lease_that_has_run_out_is_free_and_its_fence_grows(resources: Any) -> None:
    leases = resources.leases
    first = await leases.acquire("sync", "a", 300)
    assert await leases.acquire("sync", "b", 300) is None
    assert await leases.acquire("sync", "a", 300) == first

    await asyncio.sleep(0.35)
    second = await leases.acquire("sync", "b", 5000)

    assert second is not None
    assert second.fence == first.fence + 1
    assert await leases.acquire("sync", "a", 5000) is None
    await leases.release(first, "a")
    assert await leases.acquire("sync", "a", 5000) is None
    await leases.release(second, "b")
    assert (await leases.acquire("sync", "a", 5000)).fence == second.fence + 1


async def test_a_late_write_is_refused(resources: Any, movie: Any) -> None:
    old, new = resources.fenced_writer("movies", 7), resources.fenced_writer("movies", 8)
    await old.begin()
    await new.begin()
    now = datetime.now(UTC)

    with pytest.raises(LeaseLostError):
        await old.write(lambda session: resources.movie_writer.save_all([movie(1, 28)], now, session))
    with pytest.raises(LeaseLostError):
        await old.write(lambda session: resources.genres.apply(GenreChanges(added={28: "x"}), now, session))
    with pytest.raises(LeaseLostError):
        await old.begin()

    assert await resources.movies.find(1) is None
    assert await resources.genres.all() == {}


async def test_a_write_that_fails_in_the_middle_leaves_nothing(resources: Any, movie: Any) -> None:
    writer = resources.fenced_writer("movies", 1)
    await writer.begin()

    async def work(session: Any) -> None:
        await resources.movie_writer.save_all([movie(1, 28)], datetime.now(UTC), session)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await writer.write(work)

    assert await resources.movies.find(1) is None


async def test_of_three_workers_one_leads_and_its_end_hands_over_at_once(resources: Any) -> None:
    leading: list[str] = []

    def worker(name: str) -> Leader:
        async def work(_: Any) -> None:
            leading.append(name)
            await asyncio.Event().wait()

        return Leader(resources.leases, "sync", name, work)

    tasks = {name: asyncio.create_task(worker(name).run()) for name in ("a", "b", "c")}
    try:
        async with asyncio.timeout(5):
            while not leading:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        assert len(leading) == 1

        tasks[leading[0]].cancel()
        await asyncio.wait([tasks[leading[0]]])
        begin = time.monotonic()
        async with asyncio.timeout(5):
            while len(leading) < 2:
                await asyncio.sleep(0.02)
        assert time.monotonic() - begin < 3
        assert leading[0] != leading[1]
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


async def test_who_loses_the_lease_stops_working(resources: Any, monkeypatch: Any) -> None:
    from catalog.jobs import leader as module

    monkeypatch.setattr(module, "_RENEW_SECONDS", 0.1)
    started, stopped = asyncio.Event(), asyncio.Event()

    async def work(_: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.create_task(Leader(resources.leases, "sync", "a", work).run())
    try:
        async with asyncio.timeout(5):
            await started.wait()
            await resources.mongo.database["leases"].update_one(
                {"_id": "sync"}, {"$set": {"owner": "b"}, "$inc": {"fence": 1}}
            )
            await stopped.wait()
        assert (await resources.mongo.database["leases"].find_one({"_id": "sync"}))["owner"] == "b"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


WORKER = """
import asyncio, sys
from catalog.jobs.leader import Leader
from catalog.storage.leases import LeaseRepository
from chassis.mongo import Mongo

async def main():
    mongo = Mongo(sys.argv[1])
    async def work(held):
        while True:
            await mongo.database["led"].insert_one({"by": sys.argv[2], "fence": held.fence})
            await asyncio.sleep(0.1)
    await Leader(LeaseRepository(mongo.database), "sync", sys.argv[2], work).run()

asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_killed_or_frozen_holder_is_succeeded_within_thirty_seconds(
    resources: Any, database_url: str, end: signal.Signals
) -> None:
    led = resources.mongo.database["led"]
    await led.delete_many({})

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", WORKER, database_url, name])

    first = start("first")
    second = None
    try:
        async with asyncio.timeout(20):
            while not await led.find_one({"by": "first"}):
                await asyncio.sleep(0.05)
        second = start("second")
        os.kill(first.pid, end)
        begin = time.monotonic()
        async with asyncio.timeout(30):
            while not await led.find_one({"by": "second"}):
                await asyncio.sleep(0.1)
        assert time.monotonic() - begin < 30
        if end is signal.SIGSTOP:
            before = await led.count_documents({"by": "first"})
            os.kill(first.pid, signal.SIGCONT)
            await asyncio.sleep(1.5)
            # One insert may have been under way; the work itself has stopped.
            assert await led.count_documents({"by": "first"}) <= before + 1
            assert await led.count_documents({"by": "second", "fence": 2}) > 0
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.wait()
        await led.drop()
