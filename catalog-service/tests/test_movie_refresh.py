"""Keeping movies up to date: changes, refresh, purge, and that no fault of TMDB's costs a movie."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from catalog.clients.tmdb.client import Patience, TmdbClient
from catalog.clients.tmdb.errors import TmdbError
from catalog.domain.genres import GenreChanges
from catalog.domain.sync import Routine
from catalog.factory import create_movie_sync
from catalog.services.movie_sync import MovieSync


@pytest.fixture
async def fence(resources: Any) -> int:
    """What the holder of the lease works with; two genres are known."""
    await resources.genres.begin(1)
    await resources.states.begin(Routine.MOVIES, None, 1)
    await resources.genres.apply(GenreChanges(added={28: "A", 35: "C"}), datetime.now(UTC), 1)
    return 1


async def test_changes_are_followed_and_what_is_gone_is_withdrawn(
    resources: Any, fence: int, simulator: Any, person: Any, client: Any
) -> None:
    film = {
        "id": 900002,
        "title": "Before",
        "release_date": "2020-01-01",
        "original_language": "en",
        "genre_ids": [28],
        "popularity": 3.0,
        "vote_average": 5.0,
        "vote_count": 1,
    }
    simulator.put_film(film)
    simulator.put_film({**film, "id": 900003})
    sync = create_movie_sync(resources)
    await sync.run(fence)

    simulator.put_film({**film, "title": "After"})
    simulator.remove_film(900003)
    await sync.run(fence)

    assert (await resources.movies.find(900002)).movie.title == "After"
    assert (await resources.movies.find(900003)).movie is None
    reader = person(28)
    assert (await client.get("/v1/movies/900003", headers=reader.headers)).status_code == 404
    listed = await client.get("/v1/movies?title=before", headers=reader.headers)
    assert listed.json()["data"] == []
    state = await resources.states.state(Routine.MOVIES)
    assert (state.changes["refreshed"], state.changes["withdrawn"]) >= (1, 1)
    simulator.remove_film(900002)


async def test_what_is_old_is_fetched_again_and_what_is_too_old_is_purged(
    resources: Any, fence: int, simulator: Any
) -> None:
    sync = create_movie_sync(resources)
    await sync.run(fence)
    movies = resources.mongo.database["movies"]
    old, too_old, gone = [d["_id"] for d in await movies.find({}, {"title": 1}).limit(3).to_list()]
    now = datetime.now(UTC)
    await movies.update_one({"_id": old}, {"$set": {"fetchedAt": now - timedelta(days=151), "overview": "stale"}})
    await movies.update_one({"_id": too_old}, {"$set": {"fetchedAt": now - timedelta(days=176)}})
    await movies.update_one({"_id": gone}, {"$set": {"fetchedAt": now - timedelta(days=176)}})
    simulator.fault("malformed-rows", path=f"/3/movie/{too_old}", every=1)
    simulator.fault("error", status=404, path=f"/3/movie/{gone}")

    await sync.run(fence)

    assert (await resources.movies.find(old)).movie.overview != "stale"
    assert (await resources.movies.find(gone)).movie is None
    fresh = await movies.find_one({"_id": old})
    assert fresh["fetchedAt"] > now - timedelta(minutes=1)


async def held(resources: Any) -> list[Any]:
    documents: list[Any] = await resources.mongo.database["movies"].find({}, {"fetchedAt": 0}).sort("_id", 1).to_list()
    return documents


@pytest.fixture
async def patient(resources: Any) -> AsyncIterator[MovieSync]:
    """The routine with a client that waits for an answer however busy the machine is."""
    usual = resources.tmdb
    resources.tmdb = TmdbClient(
        resources.settings.tmdb_base_url, "test", resources.budget, Patience(tries=3, seconds=20.0)
    )
    waiting = resources.tmdb
    sync = create_movie_sync(resources)
    resources.tmdb = usual
    yield sync
    await waiting.aclose()


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("error", {"status": 401}),
    ("error", {"status": 429}),
    ("error", {"status": 429, "retry_after": "0"}),
    ("error", {"status": 500}),
    ("error", {"status": 503}),
    ("html", {"status": 502}),
    ("html", {"status": 200}),
    ("html", {"status": 404}),
    ("slow", {"seconds": 3}),
    ("hang", {}),
    ("hang", {"after_headers": True}),
    ("gzip-without-header", {}),
    ("truncated-json", {}),
]
FILM_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("malformed-rows", {"every": 1}),
    ("genre-ids-missing", {}),
    ("genre-ids-object", {}),
]


@pytest.mark.parametrize(("path", "faults"), [("/3/movie/changes", FAULTS), ("/3/movie/9000", FAULTS + FILM_FAULTS)])
async def test_no_fault_of_the_feed_or_of_a_film_changes_what_is_stored(  # noqa: PLR0913 - fixtures
    patient: MovieSync, hasty: Any, fence: int, simulator: Any, path: str, faults: list[tuple[str, dict[str, Any]]]
) -> None:
    film = {"title": "Before", "genre_ids": [28], "popularity": 3.0, "vote_average": 5.0, "vote_count": 1}
    simulator.put_film({**film, "id": 900004})
    sync = create_movie_sync(hasty)
    await patient.run(fence)
    before = await held(hasty)
    simulator.put_film({**film, "id": 900004, "title": "After"})
    try:
        for kind, options in faults:
            simulator.heal()
            simulator.fault(kind, path=path, **options)
            # Where a single film cannot be read it is left out and counted; what all are asked for ends the run.
            with suppress(TmdbError, ExceptionGroup):
                await sync.run(fence)
            assert await held(hasty) == before, kind
            # The run that failed has not taken the change for done.
            await hasty.mongo.database["sync"].update_one({"_id": "movies"}, {"$unset": {"memory.feed": ""}})
        simulator.heal()
        await patient.run(fence)
    finally:
        simulator.remove_film(900004)

    assert (await hasty.movies.find(900004)).movie.title == "After"


async def test_what_is_too_old_goes_even_while_tmdb_gives_nothing(
    patient: MovieSync, hasty: Any, fence: int, simulator: Any
) -> None:
    await patient.run(fence)
    movies = hasty.mongo.database["movies"]
    old, too_old = [d["_id"] for d in await movies.find({}, {"title": 1}).limit(2).to_list()]
    now = datetime.now(UTC)
    await movies.update_one({"_id": old}, {"$set": {"fetchedAt": now - timedelta(days=174)}})
    await movies.update_one({"_id": too_old}, {"$set": {"fetchedAt": now - timedelta(days=176)}})
    revision = (await hasty.revisions.current()).movies
    simulator.fault("error", status=401)

    with pytest.raises(TmdbError):
        await patient.run(fence)

    assert await hasty.movies.find(too_old) is None
    assert (await hasty.movies.find(old)).movie is not None
    assert (await hasty.revisions.current()).movies > revision
