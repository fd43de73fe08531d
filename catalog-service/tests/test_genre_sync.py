"""The genre routine: what it stores and announces, and that no fault of TMDB's changes what is stored."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from catalog.clients.tmdb.errors import TmdbError
from catalog.domain.genres import Genre, GenreStatus, RefusedListingError, compare
from catalog.domain.sync import Routine, retry_after
from catalog.factory import create_genre_sync
from chassis.events.topology import contracts_directory

SMALL = {28: "Action", 35: "Comedy", 18: "Drama", 878: "Science Fiction"}


@pytest.fixture
async def fence(resources: Any) -> int:
    """What the holder of the lease works with."""
    await resources.genres.begin(1)
    await resources.states.begin(Routine.GENRES, None, 1)
    return 1


@pytest.fixture
def sync(resources: Any) -> Any:
    return create_genre_sync(resources)


async def stored(resources: Any) -> dict[int, tuple[str, str, int]]:
    genres = await resources.genres.all()
    return {genre.id: (genre.name, genre.status.value, genre.revision) for genre in genres.values()}


async def test_the_first_list_is_stored_and_announced(sync: Any, fence: int, resources: Any) -> None:
    await sync.run(fence)

    genres = await stored(resources)
    assert len(genres) == 19
    assert genres[28] == ("Action", "active", 1)
    assert len(await resources.genres.waiting_events()) == 19
    state = await resources.states.state(Routine.GENRES)
    assert state.changes == {"added": 19, "renamed": 0, "restored": 0, "retired": 0}
    assert state.next_at - state.checked_at == timedelta(hours=2)


async def test_an_unchanged_list_costs_a_304_and_changes_nothing(
    sync: Any, fence: int, resources: Any, simulator: Any
) -> None:
    await sync.run(fence)
    before = await resources.mongo.database["genres"].find().to_list()
    first = await resources.states.state(Routine.GENRES)

    await sync.run(fence)

    assert [request["status"] for request in simulator.requests("/3/genre/movie/list")] == [200, 304]
    assert await resources.mongo.database["genres"].find().to_list() == before
    second = await resources.states.state(Routine.GENRES)
    assert second.checked_at > first.checked_at
    assert second.changed_at == first.changed_at


async def test_renamed_retired_restored_and_added(sync: Any, fence: int, resources: Any, simulator: Any) -> None:
    simulator.put_genres(SMALL)
    await sync.run(fence)

    simulator.put_genres({28: "Action", 35: "Comedy", 878: "Sci-Fi", 10402: "Music"})
    await sync.run(fence)
    assert await stored(resources) == {
        28: ("Action", "active", 1),
        35: ("Comedy", "active", 1),
        18: ("Drama", "retired", 2),
        878: ("Sci-Fi", "active", 2),
        10402: ("Music", "active", 1),
    }
    state = await resources.states.state(Routine.GENRES)
    assert state.changes == {"added": 1, "renamed": 1, "restored": 0, "retired": 1}

    simulator.put_genres({28: "Action", 35: "Comedy", 878: "Sci-Fi", 10402: "Music", 18: "Drama"})
    await sync.run(fence)
    assert (await stored(resources))[18] == ("Drama", "active", 3)


async def test_events_are_as_the_contract_says(sync: Any, fence: int, resources: Any, simulator: Any) -> None:
    folder = contracts_directory() / "events"
    schema = orjson.loads((folder / "catalog.genre.changed.v1.schema.json").read_bytes())
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    validator.validate(orjson.loads((folder / "catalog.genre.changed.v1.example.json").read_bytes()))
    simulator.put_genres(SMALL)
    await sync.run(fence)
    simulator.put_genres({28: "Action!", 35: "Comedy", 18: "Drama"})
    await sync.run(fence)

    events = [orjson.loads(waiting.body) for waiting in await resources.genres.waiting_events()]

    for event in events:
        validator.validate(event)
    of_genre = {878: [], 28: [], 35: [], 18: []}  # type: ignore[var-annotated]
    for event in events:
        data = event["data"]
        of_genre[data["genreId"]].append((data["revision"], data["name"], data["status"]))
    assert of_genre == {
        878: [(1, "Science Fiction", "active"), (2, "Science Fiction", "retired")],
        28: [(1, "Action", "active"), (2, "Action!", "active")],
        35: [(1, "Comedy", "active")],
        18: [(1, "Drama", "active")],
    }


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("error", {"status": 401}, "tmdb-refused"),
    ("error", {"status": 429}, "tmdb-throttled"),
    ("error", {"status": 429, "retry_after": "0"}, "tmdb-throttled"),
    ("error", {"status": 500}, "tmdb-unavailable"),
    ("error", {"status": 503}, "tmdb-unavailable"),
    ("error", {"status": 404}, "tmdb-not-found"),
    ("html", {"status": 502}, "tmdb-unavailable"),
    ("html", {"status": 200}, "tmdb-malformed"),
    ("html", {"status": 404}, "tmdb-malformed"),
    ("slow", {"seconds": 5}, "tmdb-timeout"),
    ("hang", {}, "tmdb-timeout"),
    ("hang", {"after_headers": True}, "tmdb-timeout"),
    ("gzip-without-header", {}, "tmdb-malformed"),
    ("truncated-json", {}, "tmdb-malformed"),
    ("genres-empty", {}, "listing-refused"),
    ("genres-shrunken", {"keep": 9}, "listing-refused"),
]


async def test_no_fault_changes_what_is_stored(resources: Any, simulator: Any, fence: int, hasty: Any) -> None:
    await create_genre_sync(resources).run(fence)
    # Without the stored tag, so that every answer is a full one.
    await resources.mongo.database["sync"].update_one({"_id": "genres"}, {"$unset": {"memory": ""}})
    before = await resources.mongo.database["genres"].find().to_list()
    hurried = create_genre_sync(hasty)
    for kind, options, code in FAULTS:
        simulator.heal()
        simulator.fault(kind, path="/3/genre", **options)

        with pytest.raises((TmdbError, RefusedListingError)) as caught:
            await hurried.run(fence)

        assert getattr(caught.value, "code", "listing-refused") == code, kind
        assert await resources.mongo.database["genres"].find().to_list() == before, kind


async def test_a_fault_that_passes_is_overcome_in_the_same_run(
    sync: Any, fence: int, resources: Any, simulator: Any
) -> None:
    simulator.fault("error", status=500, path="/3/genre", count=1)

    await sync.run(fence)

    assert len(await stored(resources)) == 19


def genre(genre_id: int, name: str = "x", status: GenreStatus = GenreStatus.ACTIVE) -> Genre:
    now = datetime.now(UTC)
    return Genre(genre_id, name, status, 0, 1, now, now)


def test_half_may_go_but_not_more() -> None:
    held = {number: genre(number) for number in (1, 2, 3, 4)}

    assert compare(held, {1: "x", 2: "x"}).retired == {3: "x", 4: "x"}
    with pytest.raises(RefusedListingError, match="3 of 4"):
        compare(held, {1: "x"})
    with pytest.raises(RefusedListingError, match="empty"):
        compare({}, {})


def test_retired_genres_do_not_count_as_dropped() -> None:
    held = {1: genre(1), 2: genre(2, status=GenreStatus.RETIRED), 3: genre(3, status=GenreStatus.RETIRED)}

    assert not compare(held, {1: "x"})


def test_the_pause_after_failures_grows_and_ends_below_the_interval() -> None:
    interval = timedelta(hours=2)

    pauses = [retry_after(failures, interval).total_seconds() for failures in (1, 2, 3, 8, 1000)]

    assert pauses == [5, 10, 20, 600, 600]
    assert retry_after(3, timedelta(seconds=7)) == timedelta(seconds=7)


async def test_at_start_it_is_due_at_once_only_without_a_list(sync: Any, fence: int, resources: Any) -> None:
    assert await sync.first_due() <= datetime.now(UTC)

    await sync.run(fence)

    state = await resources.states.state(Routine.GENRES)
    assert await sync.first_due() == state.checked_at + timedelta(hours=2)


async def test_two_runs_at_once_store_one_revision(sync: Any, fence: int, resources: Any) -> None:
    await asyncio.gather(sync.run(fence), sync.run(fence))

    assert {revision for _, _, revision in (await stored(resources)).values()} <= {1, 2}
    assert len(await stored(resources)) == 19
