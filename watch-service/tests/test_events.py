"""The worker on a real broker: renames and deletions, twice, out of order, late, and across a killed process."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from chassis.events.envelope import Event, encode
from chassis.events.publisher import Publisher
from chassis.events.topology import load_topology
from chassis.ids import new_id
from chassis.mongo import Mongo
from chassis.testing.http import assert_problem
from watch.domain.history import Genre
from watch.factory import Factory

_DEADLINE_SECONDS = 20


async def _eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while not await condition():
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _worker(database_url: str, broker_url: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "WATCH_DATABASE_URL": database_url,
        "WATCH_BROKER_URL": broker_url,
        "WATCH_INTERNAL_TOKEN": "an internal token of thirty-two characters",
        "WATCH_JWKS_URLS": "http://127.0.0.1:9/jwks",
        "WATCH_CATALOG_URLS": "http://127.0.0.1:9",
        "WATCH_OPS_PORT": str(port),
        "WATCH_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "watch", "worker", env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture(scope="module")
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    """Publishes as identity-service and catalog-service do."""
    made = Publisher(broker_url, "test", load_topology())
    yield made
    await made.aclose()


@pytest.fixture(scope="module")
async def worker(database_url: str, mongo: Mongo, broker_url: str, worker_port: int) -> AsyncIterator[int]:
    """A worker process of its own; the value is its operations port."""
    async with _worker(database_url, broker_url, worker_port):
        yield worker_port


def _deleted(user_id: uuid.UUID, revision: int = 2) -> Event:
    data = {"userId": str(user_id), "revision": revision}
    return Event("identity.user.deleted.v1", "/identity-service", f"user/{user_id}", data)


def _renamed(genre_id: int, name: str, revision: int) -> Event:
    data = {"genreId": genre_id, "revision": revision, "name": name, "status": "active"}
    return Event("catalog.genre.changed.v1", "/catalog-service", f"genre/{genre_id}", data)


async def _send(publisher: Publisher, *events: Event) -> None:
    for event in events:
        await publisher.publish_event(event.type, str(event.id), encode(event), {})


async def _name(mongo: Mongo, genre_id: int) -> str | None:
    found = await mongo.database["genres"].find_one({"_id": genre_id})
    return found["name"] if found else None


async def test_a_rename_reaches_stored_names_everywhere(
    worker: int, publisher: Publisher, catalog: Any, alice: Any, mongo: Mongo
) -> None:
    catalog.add(1, genre_ids=(501,))
    await alice.mark(1)
    await _send(publisher, _renamed(501, "Renamed", 1))

    async def renamed() -> bool:
        return await _name(mongo, 501) == "Renamed"

    await _eventually(renamed)
    assert (await alice.get("/v1/watched/1")).json()["movie"]["genres"] == [{"id": 501, "name": "Renamed"}]
    assert (await alice.get("/v1/reports/me")).json()["mostWatchedTheme"]["themeName"] == "Renamed"
    assert "Renamed" in (await alice.get("/v1/watched", headers={"Accept": "text/csv"})).text


async def test_renames_twice_and_out_of_order_end_at_the_newest(
    worker: int, publisher: Publisher, mongo: Mongo
) -> None:
    newest = _renamed(502, "Third", 3)
    await _send(publisher, _renamed(502, "Second", 2), newest, newest, _renamed(502, "First", 1), _renamed(503, "x", 1))

    async def all_seen() -> bool:
        return await _name(mongo, 503) == "x" and await _name(mongo, 502) == "Third"

    await _eventually(all_seen)
    await _send(publisher, _renamed(502, "Second", 2), _renamed(503, "y", 2))

    async def seen() -> bool:
        return await _name(mongo, 503) == "y"

    await _eventually(seen)
    assert await _name(mongo, 502) == "Third"


@pytest.mark.parametrize("known_first", [True, False])
async def test_a_marking_that_races_with_a_rename_ends_with_the_new_name(
    factory: Factory, catalog: Any, person: Any, known_first: bool
) -> None:
    genre_id = 510 + known_first
    catalog.add(genre_id, genre_ids=(genre_id,))
    people = [person() for _ in range(10)]
    if known_first:
        await people[0].mark(genre_id)
    lifecycle = factory.create_lifecycle_service()
    await asyncio.gather(
        *(one.mark(genre_id) for one in people[1:]),
        *(lifecycle.rename_genre(Genre(genre_id, f"Name {revision}"), revision) for revision in (2, 1, 3)),
    )
    for one in people[1:]:
        assert (await one.get("/v1/reports/me")).json()["mostWatchedTheme"]["themeName"] == "Name 3"


async def test_a_deleted_users_history_is_erased_and_nothing_is_stored_after(  # noqa: PLR0913 - fixtures
    worker: int, publisher: Publisher, catalog: Any, person: Any, admin: Any, mongo: Mongo
) -> None:
    gone, other = person(), person()
    for movie_id in range(1, 4):
        catalog.add(movie_id)
        await gone.mark(movie_id)
    await other.mark(1)
    event = _deleted(gone.id)
    await _send(publisher, event, event, _deleted(gone.id, 1))

    async def erased() -> bool:
        return not await mongo.database["watched"].count_documents({"userId": gone.id})

    await _eventually(erased)
    for movie_id in (1, 9):
        catalog.add(movie_id)
        assert_problem(await gone.mark(movie_id), 403, "user-deleted")
    assert (await gone.unmark(1)).status_code == 204
    assert await gone.movie_ids() == []
    report = (await admin.get(f"/v1/reports/users/{gone.id}")).json()
    assert (report["totalFilmsWatched"], report["lastFilmWatched"]) == (0, None)
    listed = (await admin.get("/v1/reports/users", params={"userIds": f"{gone.id},{other.id}"})).json()
    assert [entry["userId"] for entry in listed["data"]] == [str(other.id)]


async def test_deleting_somebody_unknown_refuses_them_from_then_on(factory: Factory, catalog: Any, alice: Any) -> None:
    catalog.add(1)
    await factory.create_lifecycle_service().erase_user(alice.id, 2)
    assert_problem(await alice.mark(1), 403, "user-deleted")


async def test_markings_that_race_with_the_deletion_leave_nothing(
    factory: Factory, catalog: Any, person: Any, admin: Any, mongo: Mongo
) -> None:
    for movie_id in range(1, 11):
        catalog.add(movie_id)
    for _ in range(5):
        one = person()
        await one.mark(1)
        lifecycle = factory.create_lifecycle_service()
        answers = await asyncio.gather(
            *(one.mark(movie_id) for movie_id in range(2, 6)),
            lifecycle.erase_user(one.id, 2),
            lifecycle.erase_user(one.id, 2),
            *(one.mark(movie_id) for movie_id in range(6, 11)),
        )
        assert {a.status_code for a in answers if isinstance(a, httpx.Response)} <= {201, 403}
        assert await mongo.database["watched"].count_documents({"userId": one.id}) == 0
        assert await mongo.database["users"].count_documents({"_id": one.id, "deleted": True, "films": 0}) == 1
        assert (await admin.get("/v1/reports/users", params={"userIds": str(one.id)})).json()["data"] == []


async def test_a_killed_worker_loses_no_event(
    database_url: str, broker_url: str, publisher: Publisher, mongo: Mongo, unused_port: int
) -> None:
    async with _worker(database_url, broker_url, unused_port) as first:
        await _send(publisher, *(_renamed(600 + n, "Before", 1) for n in range(30)))
        first.send_signal(signal.SIGKILL)
        await first.wait()
    await _send(publisher, *(_renamed(600 + n, "After", 2) for n in range(30)))

    async def all_renamed() -> bool:
        found = await mongo.database["genres"].count_documents({"_id": {"$gte": 600, "$lt": 630}, "name": "After"})
        return found == 30

    async with _worker(database_url, broker_url, unused_port):
        await _eventually(all_renamed)


async def test_an_event_that_cannot_be_read_is_parked_and_the_next_one_applied(
    worker: int, publisher: Publisher, mongo: Mongo
) -> None:
    genre = new_id().int % 10**6 + 10**6
    await publisher.publish("catalog.events", "catalog.genre.changed.v1", b"{}", message_id="x", headers={})
    await _send(publisher, _renamed(genre, "Applied", 1))

    async def applied() -> bool:
        return await _name(mongo, genre) == "Applied"

    await _eventually(applied)
    channel = await publisher.connect()
    parked = await channel.get_queue("watch.genres.v1.parked")

    async def is_parked() -> bool:
        message = await parked.get(fail=False)
        if message is not None:
            await message.ack()
        return message is not None

    await _eventually(is_parked)


async def test_the_worker_shows_how_far_behind_it_is(worker: int, publisher: Publisher) -> None:
    await _send(publisher, _renamed(504, "Named", 1), Event("catalog.heartbeat.v1", "/catalog", "x", {"revision": 1}))
    labels = '{queue="watch.genres.v1"}'
    names = ("event_queue_waiting", "event_queue_parked", "event_lag_seconds_sum")
    async with httpx.AsyncClient(trust_env=False) as http:

        async def shown() -> bool:
            try:
                text = (await http.get(f"http://127.0.0.1:{worker}/metrics")).text
            except httpx.TransportError:
                return False
            return all(f"{name}{labels} " in text for name in (*names, "event_last_heartbeat_timestamp_seconds"))

        await _eventually(shown)


async def test_the_worker_says_that_it_is_ready(worker: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:

        async def ready() -> bool:
            try:
                return (await http.get(f"http://127.0.0.1:{worker}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await _eventually(ready)
