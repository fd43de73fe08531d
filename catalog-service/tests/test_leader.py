"""One of N workers does the job; one that is killed or frozen is succeeded, and cannot write any more."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from catalog.domain.genres import GenreChanges
from catalog.domain.sync import Routine
from catalog.jobs.leader import Leader
from catalog.storage.leases import LeaseLostError
from chassis.deadlines import stop


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
    now, old, new = datetime.now(UTC), 7, 8
    for fence in (old, new):
        await resources.genres.begin(fence)
        await resources.states.begin(Routine.MOVIES, None, fence)
    await resources.movie_writer.save_all([movie(1, 28, title="New")], now, new)

    for late in (
        resources.genres.begin(old),
        resources.genres.apply(GenreChanges(added={28: "Late"}), now, old),
        resources.states.require(Routine.MOVIES, old),
        resources.states.note(Routine.MOVIES, {"walk": None}, None, old),
        resources.states.succeed(Routine.MOVIES, now, now, None, old),
    ):
        with pytest.raises(LeaseLostError):
            await late
    await resources.movie_writer.save_all([movie(1, 28, title="Late")], now, old)
    assert await resources.movie_writer.withdraw([1], now, old) == 0

    assert (await resources.movies.find(1)).movie.title == "New"
    assert await resources.genres.all() == {}
    assert (await resources.states.state(Routine.MOVIES)).checked_at is None
    await resources.movie_writer.save_all([movie(1, 28, title="$Newer")], now, new)
    assert (await resources.movies.find(1)).movie.title == "$Newer"


async def test_counting_and_a_new_list_at_once_lose_nothing(resources: Any, movie: Any) -> None:
    now = datetime.now(UTC)
    await resources.movie_writer.save_all([movie(1, 28)], now, 1)
    await resources.genres.apply(GenreChanges(added={28: "Action"}), now, 1)

    await asyncio.gather(
        *(resources.genres.recount() for _ in range(10)),
        resources.genres.apply(GenreChanges(added={35: "Comedy"}), now, 1),
        resources.genres.apply(GenreChanges(renamed={28: "Action!"}), now, 1),
    )

    genres = await resources.genres.all()
    assert (genres[28].name, genres[28].revision, genres[35].name) == ("Action!", 2, "Comedy")
    assert len(await resources.genres.waiting_events()) == 3
    await resources.genres.recount()
    assert (await resources.genres.all())[28].movie_count == 1


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

        await stop(tasks[leading[0]])
        begin = time.monotonic()
        async with asyncio.timeout(5):
            while len(leading) < 2:
                await asyncio.sleep(0.02)
        assert time.monotonic() - begin < 3
        assert leading[0] != leading[1]
    finally:
        await stop(*tasks.values())


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
        await stop(task)


WORKER = """
import asyncio, sys
from catalog.jobs.leader import Leader
from catalog.storage.leases import LeaseRepository
from chassis.mongo import Mongo

async def main():
    mongo = Mongo(sys.argv[1])
    async def work(held):
        while True:
            await mongo.database["led"].insert_one({"lease": held.name, "by": sys.argv[3], "fence": held.fence})
            await asyncio.sleep(0.1)
    await Leader(LeaseRepository(mongo.database), sys.argv[2], sys.argv[3], work).run()

asyncio.run(main())
"""


class Workers:
    """Processes that lead a lease and write down that they do."""

    def __init__(self, url: str, led: Any) -> None:
        self._url = url
        self.led = led
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, lease: str, name: str) -> int:
        process = subprocess.Popen([sys.executable, "-c", WORKER, self._url, lease, name])
        self._processes.append(process)
        return process.pid

    async def until_leads(self, lease: str, name: str, seconds: float) -> float:
        begin = time.monotonic()
        async with asyncio.timeout(seconds):
            while not await self.led.find_one({"lease": lease, "by": name}):
                await asyncio.sleep(0.1)
        return time.monotonic() - begin

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
async def workers(resources: Any, database_url: str) -> AsyncIterator[Workers]:
    led = resources.mongo.database["led"]
    await led.delete_many({})
    made = Workers(database_url, led)
    yield made
    made.end()
    await led.drop()


async def test_a_killed_or_frozen_holder_is_succeeded_within_thirty_seconds(workers: Any) -> None:
    # Two leases side by side, because both take as long as a lease lasts.
    endings = {"sync": signal.SIGKILL, "outbox": signal.SIGSTOP}
    pids = {lease: workers.start(lease, "first") for lease in endings}
    for lease in endings:
        await workers.until_leads(lease, "first", 20)
    for lease, end in endings.items():
        workers.start(lease, "second")
        os.kill(pids[lease], end)

    await asyncio.gather(*(workers.until_leads(lease, "second", 30) for lease in endings))

    frozen = {"lease": "outbox", "by": "first"}
    before = await workers.led.count_documents(frozen)
    os.kill(pids["outbox"], signal.SIGCONT)
    await asyncio.sleep(1.5)
    # One insert may have been under way; the work itself has stopped.
    assert await workers.led.count_documents(frozen) <= before + 1
    assert await workers.led.count_documents({"lease": "outbox", "by": "second", "fence": 2}) > 0
