"""The movie routine: everything that TMDB lists is held, faults cost nothing, and a kill costs little."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from catalog.clients.tmdb.errors import TmdbError, TmdbNotFoundError
from catalog.clients.tmdb.models import MoviePage
from catalog.domain.genres import GenreChanges
from catalog.domain.sync import Routine
from catalog.factory import create_movie_sync
from catalog.services import movie_walk
from catalog.services.movie_walk import MovieWalk, Walk
from catalog.storage.rate_budget import RateBudget

TODAY = datetime.now(UTC).date()


@pytest.fixture
async def fence(resources: Any) -> int:
    """What the holder of the lease works with; two genres are known."""
    await resources.genres.begin(1)
    await resources.states.begin(Routine.MOVIES, None, 1)
    await resources.genres.apply(GenreChanges(added={28: "A", 35: "C"}), datetime.now(UTC), 1)
    return 1


async def held(resources: Any) -> dict[int, Any]:
    documents = await resources.mongo.database["movies"].find({}, {"fetchedAt": 0}).to_list()
    return {document["_id"]: document for document in documents}


async def test_a_catalogue_that_fits_into_one_list_is_walked_once(resources: Any, fence: int, simulator: Any) -> None:
    await create_movie_sync(resources).run(fence)

    total = simulator.total()
    assert len(await held(resources)) == total
    discovered = [r for r in simulator.requests("/3/discover/movie") if r["query"].get("include_adult") == "false"]
    assert len(discovered) == -(-total // 20)
    assert all("with_genres" not in request["query"] for request in discovered)
    state = await resources.states.state(Routine.MOVIES)
    assert state.changes["inserted"] == total
    assert state.next_at - state.checked_at == timedelta(days=1)


async def test_a_movie_is_stored_as_tmdb_describes_it(resources: Any, fence: int, simulator: Any) -> None:
    simulator.put_film(
        {
            "id": 900001,
            "title": "Überfilm: Part Two",
            "original_title": "Überfilm",
            "original_language": "de",
            "release_date": "",
            "genre_ids": [28, 35],
            "popularity": 12345.5,
            "vote_average": 7.25,
            "vote_count": 3,
            "poster_path": None,
        }
    )
    try:
        await create_movie_sync(resources).run(fence)
    finally:
        simulator.remove_film(900001)

    movie = (await resources.movies.find(900001)).movie
    assert (movie.title, movie.original_title, movie.release_date) == ("Überfilm: Part Two", "Überfilm", None)
    assert (movie.genre_ids, movie.popularity, movie.poster_path) == ((28, 35), 12345.5, None)
    document = await resources.mongo.database["movies"].find_one({"_id": 900001})
    assert document["titleWords"] == ["part", "two", "uberfilm"]


async def test_beyond_the_limit_the_most_popular_of_every_genre_are_held(
    make_settings: Any, resources: Any, fence: int, simulator: Any
) -> None:
    resources.settings = make_settings(movies_per_genre=40)

    await create_movie_sync(resources).run(fence)

    queries = [r["query"] for r in simulator.requests("/3/discover/movie")]
    assert {query.get("with_genres") for query in queries} == {None, "28", "35"}
    for genre in (28, 35):
        most_popular = [row["id"] for page in (1, 2) for row in await rows(simulator, genre, page)]
        assert set(most_popular) <= (await held(resources)).keys()
    assert len(await held(resources)) <= 80


async def rows(simulator: Any, genre: int, page: int) -> list[dict[str, Any]]:
    import httpx

    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        answer = await client.get(
            "/3/discover/movie",
            params={"with_genres": genre, "page": page, "sort_by": "popularity.desc"},
            headers={"authorization": "Bearer x"},
        )
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


class ManyMovies:
    """A TMDB with far more movies of a genre than it shows of one list: one for every day and rank."""

    def __init__(self, make: Any, first: date, days: int, per_day: int) -> None:
        self._movies = [
            make(
                1 + day * per_day + rank,
                28,
                popularity=float((day * 7919 + rank * 104729) % 100_003),
                release_date=first + timedelta(days=day),
            )
            for day in range(days)
            for rank in range(per_day)
        ]
        self._movies.append(make(999_999, 28, popularity=200_000.0))
        self.requests = 0
        self.deepest = 0

    async def discover(
        self, page: int, *, genre_id: int | None = None, released_from: Any = None, released_to: Any = None
    ) -> MoviePage:
        self.requests += 1
        self.deepest = max(self.deepest, page)
        found = [m for m in self._movies if self._lies_in(m.release_date, released_from, released_to)]
        found.sort(key=lambda m: (-m.popularity, m.id))
        pages = max(1, -(-len(found) // 20))
        return MoviePage(found[(page - 1) * 20 : page * 20], 0, min(pages, 500), len(found))

    @staticmethod
    def _lies_in(released: date | None, first: date | None, last: date | None) -> bool:
        if first is None or last is None:
            return True
        return released is not None and first <= released <= last

    def most_popular(self, count: int) -> set[int]:
        return {m.id for m in sorted(self._movies, key=lambda m: (-m.popularity, m.id))[:count]}


async def test_a_genre_longer_than_a_list_is_cut_by_release_date(
    resources: Any, fence: int, movie: Any, monkeypatch: Any
) -> None:
    # TMDB shows 10,000 rows of a list; a tenth of a thousandth of the data shows the same.
    monkeypatch.setattr(movie_walk, "_MOST_ROWS", 100)
    await resources.genres.apply(GenreChanges(retired={35: "C"}), datetime.now(UTC), fence)
    many = ManyMovies(movie, date(2000, 1, 1), days=60, per_day=10)
    walk = MovieWalk(
        many,  # type: ignore[arg-type]
        resources.genres,
        resources.movie_writer,
        resources.states,
        resources.revisions,
        300,
        resources.clock,
    )

    await walk.run(fence)

    found = (await held(resources)).keys()
    assert 999_999 in found
    wanted = many.most_popular(300)
    assert len(wanted & found) >= 0.9 * len(wanted)
    assert many.deepest <= 8


async def test_a_walk_that_is_killed_goes_on_where_it_was(
    resources: Any, fence: int, simulator: Any, monkeypatch: Any
) -> None:
    simulator.fault("error", status=500, path="/3/discover", skip=18)
    with pytest.raises(BaseException) as caught:
        await create_movie_sync(resources).run(fence)
    assert any(isinstance(e, TmdbError) for e in flat(caught.value))
    first = len(simulator.requests("/3/discover/movie"))
    stored = len(await held(resources))
    assert stored >= 160
    simulator.heal()

    await create_movie_sync(resources).run(fence)

    total = simulator.total()
    assert len(await held(resources)) == total
    pages = -(-total // 20)
    again = len(simulator.requests("/3/discover/movie")) - 2 - first
    assert again <= pages - stored // 20 + 1


def flat(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in flat(inner)]
    return [error]


ROW_FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("malformed-rows", {"every": 1}),
    ("malformed-rows", {"every": 3}),
    ("genre-ids-missing", {}),
    ("genre-ids-object", {}),
    ("duplicated-rows", {}),
    ("drifting-pages", {"shift": 3}),
    ("error", {"status": 401}),
    ("error", {"status": 429}),
    ("error", {"status": 500}),
    ("html", {"status": 502}),
    ("hang", {}),
    ("slow", {"seconds": 3}),
    ("gzip-without-header", {}),
    ("truncated-json", {}),
]


async def test_no_fault_changes_what_is_stored(hasty: Any, fence: int, simulator: Any) -> None:
    await create_movie_sync(hasty).run(fence)
    before = await held(hasty)
    for kind, options in ROW_FAULTS:
        simulator.heal()
        simulator.fault(kind, path="/3/discover", **options)
        await hasty.mongo.database["sync"].update_one({"_id": "movies"}, {"$set": {"memory": {"wanted": True}}})

        try:
            await create_movie_sync(hasty).run(fence)
        except* TmdbError:
            # Which one it is, is the business of another test.
            pass

        assert await held(hasty) == before, kind


async def test_rows_that_cannot_be_read_are_counted(resources: Any, fence: int, simulator: Any) -> None:
    simulator.fault("malformed-rows", every=4, path="/3/discover")

    await create_movie_sync(resources).run(fence)

    changes = (await resources.states.state(Routine.MOVIES)).changes
    assert changes["skipped"] > 0
    assert changes["inserted"] + changes["skipped"] >= simulator.total()


async def test_only_what_has_changed_is_written(resources: Any, fence: int, simulator: Any) -> None:
    sync = create_movie_sync(resources)
    await sync.run(fence)
    revision = (await resources.revisions.current()).movies
    await resources.mongo.database["sync"].update_one({"_id": "movies"}, {"$set": {"memory.wanted": True}})

    await sync.run(fence)

    state = await resources.states.state(Routine.MOVIES)
    assert (await resources.revisions.current()).movies == revision
    assert state.changed_at < state.checked_at


async def test_a_walk_survives_being_written_down(movie: Any) -> None:
    walk = Walk(genres_left=[1, 2], leg=movie_walk.Leg(3, [movie_walk.Span(4, 9, 1.5, "2000-01-01", "2001-01-01")], 7))
    from dataclasses import asdict

    assert Walk.load(asdict(walk)) == walk


async def test_nothing_is_asked_for_faster_than_the_budget(resources: Any) -> None:
    first = RateBudget(resources.mongo.database, 40)
    second = RateBudget(resources.mongo.database, 40)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    # Two processes share one budget.
    await asyncio.gather(*(budget.acquire() for budget in (first, second) for _ in range(20)))
    taken = loop.time() - begin
    assert taken + 0.005 >= 39 / 40
    assert taken < 39 / 40 + 0.8

    await first.pause(0.5)
    begin = loop.time()
    await second.acquire()
    assert loop.time() - begin >= 0.45


async def test_a_movie_for_adults_is_unknown(resources: Any, monkeypatch: Any) -> None:
    async def adult(path: str, query: Any) -> Any:
        return {"id": 5, "adult": True, "title": "x"}

    monkeypatch.setattr(resources.tmdb, "_document", adult)

    with pytest.raises(TmdbNotFoundError):
        await resources.tmdb.movie(5)
