"""/v1/sync, and the scheduling behind it."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from catalog.domain.sync import Routine
from catalog.factory import create_genre_sync, create_movie_sync
from catalog.jobs.leader import Leader
from catalog.jobs.synchronization import Synchronization, SyncMetrics
from catalog.services.genre_sync import GenreSync
from catalog.storage.leases import Held
from chassis.deadlines import stop
from chassis.metrics import new_registry
from chassis.testing.http import assert_problem


def synchronization(resources: Any, registry: CollectorRegistry) -> Synchronization:
    return Synchronization(
        create_genre_sync(resources),
        create_movie_sync(resources),
        resources.states,
        resources.genres,
        resources.revisions,
        SyncMetrics(registry),
        resources.clock,
    )


@asynccontextmanager
async def working(resources: Any, name: str = "worker", registry: CollectorRegistry | None = None) -> Any:
    """A worker that synchronises as long as the block runs."""
    leader = Leader(resources.leases, "sync", name, synchronization(resources, registry or new_registry()).lead)
    task = asyncio.create_task(leader.run())
    try:
        yield
    finally:
        await stop(task)


async def until(condition: Any, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_only_administrators(client: Any, person: Any) -> None:
    for method in ("GET", "POST"):
        assert_problem(await client.request(method, "/v1/sync"), 401, "unauthenticated")
        assert_problem(await client.request(method, "/v1/sync", headers=person().headers), 403, "forbidden")


async def test_a_first_start_fetches_everything_and_shows_it(
    client: Any, person: Any, hasty: Any, simulator: Any
) -> None:
    admin = person(roles=("user", "admin"))
    before = (await client.get("/v1/sync", headers=admin.headers)).json()
    assert (before["genres"]["lastSyncedAt"], before["genres"]["nextSyncAt"], before["moviesHeld"]) == (None, None, 0)

    async with working(hasty):

        async def is_done() -> bool:
            state = (await client.get("/v1/sync", headers=admin.headers)).json()
            return bool(state["movies"]["lastSyncedAt"])

        await until(is_done)

        async def is_counted() -> bool:
            return bool((await hasty.genres.all())[28].movie_count)

        await until(is_counted)
    after = (await client.get("/v1/sync", headers=admin.headers)).json()
    assert after["moviesHeld"] == simulator.total()
    assert after["genres"]["lastChanges"]["added"] == 19
    assert after["movies"]["lastChanges"]["inserted"] == after["moviesHeld"]
    for routine in ("genres", "movies"):
        assert after[routine]["status"] == "idle"
        assert after[routine]["lastError"] is None
    checked, due = (datetime.fromisoformat(after["genres"][name]) for name in ("lastSyncedAt", "nextSyncAt"))
    assert due - checked == timedelta(hours=2)


async def test_the_progress_of_a_run_is_shown_and_logged(
    client: Any, person: Any, resources: Any, simulator: Any, caplog: Any
) -> None:
    admin = person(roles=("user", "admin"))
    caplog.set_level("INFO")
    # It comes as far as the 18th page and waits there.
    simulator.fault("hang", path="/3/discover", skip=18)

    async with working(resources):
        shown: list[dict[str, Any]] = []

        async def is_under_way() -> bool:
            movies = (await client.get("/v1/sync", headers=admin.headers)).json()["movies"]
            if movies["progress"] is not None:
                assert movies["status"] == "running"
                shown.append(movies["progress"])
            return bool(shown) and shown[-1]["pagesFetched"] >= 9

        await until(is_under_way)
        simulator.heal()

        async def is_over() -> bool:
            movies = (await client.get("/v1/sync", headers=admin.headers)).json()["movies"]
            return bool(movies["lastSyncedAt"]) and movies["status"] == "idle" and movies["progress"] is None

        await until(is_over, 30)
    progress = shown[-1]
    assert (progress["phase"], progress["genreId"], progress["genresLeft"]) == ("walk", None, 0)
    assert 1 < progress["page"] <= progress["pagesOfList"] == -(-simulator.total() // 20)
    assert progress["inserted"] == 20 * progress["pagesFetched"]
    logged = [record for record in caplog.records if record.message == "movies are being fetched"]
    assert logged
    assert logged[0].pagesOfList == progress["pagesOfList"]


async def test_with_a_stored_list_a_start_asks_nothing(hasty: Any, simulator: Any) -> None:
    async with working(hasty):
        await until(lambda: is_synced(hasty))
    asked = len(simulator.requests("/3/"))

    async with working(hasty, "another"):
        await asyncio.sleep(1.2)

    assert len(simulator.requests("/3/")) == asked


async def is_synced(resources: Any) -> bool:
    return (await resources.states.state(Routine.MOVIES)).checked_at is not None


async def test_two_hours_after_the_last_check_it_asks_again(hasty: Any, simulator: Any) -> None:
    async with working(hasty):
        await until(lambda: is_synced(hasty))
    long_ago = datetime.now(UTC) - timedelta(seconds=1)
    await hasty.mongo.database["sync"].update_one({"_id": "genres"}, {"$set": {"nextAt": long_ago}})

    async with working(hasty, "another"):

        async def has_asked() -> bool:
            return len(simulator.requests("/3/genre/movie/list")) == 2

        await until(has_asked)


async def test_of_fifty_requests_at_once_one_is_accepted_and_taken_up(
    client: Any, person: Any, hasty: Any, simulator: Any
) -> None:
    admin = person(roles=("user", "admin"))
    async with working(hasty):
        await until(lambda: is_synced(hasty))
    asked = len(simulator.requests("/3/genre/movie/list"))

    answers = await asyncio.gather(*(client.post("/v1/sync", headers=admin.headers) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 49
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert_problem(refused, 409, "sync-running")
    accepted = next(answer for answer in answers if answer.status_code == 202)
    assert accepted.json()["requestedAt"] is not None
    first = await hasty.states.state(Routine.MOVIES)
    async with working(hasty, "another"):

        async def is_idle() -> bool:
            state = (await client.get("/v1/sync", headers=admin.headers)).json()
            return (
                state["requestedAt"] is None
                and state["movies"]["status"] == state["genres"]["status"] == "idle"
                and datetime.fromisoformat(state["movies"]["lastSyncedAt"]) > first.checked_at
            )

        await until(is_idle)
        assert (await client.post("/v1/sync", headers=admin.headers)).status_code == 202
    assert len(simulator.requests("/3/genre/movie/list")) >= asked + 1


async def test_a_failure_is_shown_and_tried_again(
    client: Any, person: Any, hasty: Any, simulator: Any, monkeypatch: Any
) -> None:
    from catalog.jobs import synchronization as module

    monkeypatch.setattr(module, "retry_after", lambda failures, interval: timedelta(seconds=0.2))
    admin = person(roles=("user", "admin"))
    simulator.fault("error", status=429, path="/3/genre")
    async with working(hasty):

        async def has_failed_twice() -> bool:
            state = (await client.get("/v1/sync", headers=admin.headers)).json()
            return bool(state["genres"]["consecutiveFailures"] >= 2)

        await until(has_failed_twice)
        shown = (await client.get("/v1/sync", headers=admin.headers)).json()["genres"]
        assert shown["lastError"]["code"] == "tmdb-throttled"
        assert "429" in shown["lastError"]["message"]
        assert shown["nextSyncAt"] is not None
        simulator.heal()
        await until(lambda: is_synced(hasty))
    shown = (await client.get("/v1/sync", headers=admin.headers)).json()["genres"]
    assert (shown["consecutiveFailures"], shown["lastError"]["code"]) == (0, "tmdb-throttled")
    assert shown["totalFailures"] >= 2


async def test_a_routine_that_is_cancelled_by_nobody_ends_the_leading_and_not_only_itself(
    hasty: Any, monkeypatch: Any
) -> None:
    async def cancelled(self: GenreSync, fence: int) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(GenreSync, "run", cancelled)

    async with asyncio.timeout(20):
        with pytest.raises(RuntimeError, match="by nobody"):
            await synchronization(hasty, new_registry()).lead(Held("sync", 1))


@pytest.mark.parametrize("body", ["{}", "x"])
async def test_a_body_is_not_looked_at(client: Any, person: Any, body: str) -> None:
    admin = person(roles=("user", "admin"))

    answer = await client.post("/v1/sync", headers={**admin.headers, "content-type": "application/json"}, content=body)

    assert answer.status_code == 202


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("error", {"status": 401}, "tmdb-refused"),
    ("error", {"status": 429, "retry_after": "0"}, "tmdb-throttled"),
    ("error", {"status": 500}, "tmdb-unavailable"),
    ("html", {"status": 502}, "tmdb-unavailable"),
    ("hang", {}, "tmdb-timeout"),
    ("gzip-without-header", {}, "tmdb-malformed"),
    ("truncated-json", {}, "tmdb-malformed"),
    ("genres-empty", {}, "listing-refused"),
    ("genres-shrunken", {"keep": 9}, "listing-refused"),
]


async def test_every_fault_is_counted_logged_shown_and_got_over(  # noqa: PLR0913 - fixtures
    client: Any, person: Any, hasty: Any, simulator: Any, monkeypatch: Any, caplog: Any
) -> None:
    from catalog.jobs import synchronization as module

    monkeypatch.setattr(module, "retry_after", lambda failures, interval: timedelta(seconds=0.1))
    admin = person(roles=("user", "admin"))
    registry = new_registry()

    async def shown() -> dict[str, Any]:
        state: dict[str, Any] = (await client.get("/v1/sync", headers=admin.headers)).json()["genres"]
        return state

    def failed() -> float:
        labels = {"routine": "genres", "outcome": "failed"}
        return registry.get_sample_value("sync_runs_total", labels) or 0.0

    async def genres_are_idle() -> bool:
        return (await shown())["lastSyncedAt"] is not None and (await shown())["status"] == "idle"

    async def is_counted() -> bool:
        return bool((await hasty.genres.all())[28].movie_count)

    async with working(hasty, registry=registry):
        await until(lambda: is_synced(hasty))
        await until(genres_are_idle)
        await until(is_counted)
        listed = await hasty.genres.all()
        for kind, options, code in FAULTS:
            before, total, counted = await shown(), (await shown())["totalFailures"], failed()
            caplog.clear()
            simulator.fault(kind, path="/3/genre", **options)
            await hasty.mongo.database["sync"].update_one(
                {"_id": "genres"}, {"$set": {"nextAt": datetime.now(UTC), "memory.etag": None}}
            )

            async def has_failed(more: int = total + 2) -> bool:
                return bool((await shown())["totalFailures"] >= more)

            await until(has_failed)
            state = await shown()
            assert state["lastError"]["code"] == code, kind
            assert state["consecutiveFailures"] >= 2
            assert state["lastSyncedAt"] == before["lastSyncedAt"]
            assert failed() >= counted + 2
            told = [record for record in caplog.records if record.getMessage() == "synchronisation failed"]
            assert len(told) >= 2
            assert all(record.reason.startswith(code) and record.routine == "genres" for record in told)
            simulator.heal()

            async def is_over(synced: str = before["lastSyncedAt"]) -> bool:
                state = await shown()
                return state["consecutiveFailures"] == 0 and state["lastSyncedAt"] > synced

            await until(is_over)
            assert await hasty.genres.all() == listed, kind
