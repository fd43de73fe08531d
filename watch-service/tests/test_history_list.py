"""The history list: filters, orders, pages and entity tags."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.ids import new_id
from chassis.pagination import PageRequest
from chassis.testing.http import assert_problem
from chassis.text import fold, searched_words, words
from watch.domain.history import Genre, HistoryFilter, Movie, NewEntry, Order, Period, SortKey, to_milliseconds
from watch.factory import Factory
from watch.storage.history import HistoryRepository

TITLES = ["The Matrix", "Amélie", "Ocean's Eleven", "WALL·E", "Mátrix reloaded", "$", "Æon Flux", "8½", "The The"]


@pytest.fixture
async def history(catalog: Any, alice: Any) -> Any:
    """Alice has watched three films, one of them without genres and without a release date."""
    catalog.add(603, "The Matrix", (28, 878), "1999-03-31")
    catalog.add(194, "Le Fabuleux Destin d'Amélie Poulain", (35, 18), "2001-04-25")
    catalog.add(11, "Star Wars", ())
    await alice.mark(194, "2020-03-01T00:00:00Z")
    await alice.mark(603, "2020-01-01T00:00:00Z")
    await alice.mark(11, "2020-02-01T00:00:00Z")
    return alice


async def test_an_empty_history_is_an_empty_page(alice: Any) -> None:
    answer = await alice.get("/v1/watched")
    assert answer.json() == {
        "data": [],
        "pagination": {"pageNumber": 1, "pageSize": 10, "totalPages": 0, "lastPage": True, "firstPage": True},
    }
    assert answer.headers["x-total-count"] == "0"
    assert answer.headers["link"] == '</v1/watched?pageNumber=1&pageSize=10>; rel="first"'


async def test_missing_values_are_null(history: Any) -> None:
    entry = (await history.get("/v1/watched/11")).json()
    assert entry["movie"] == {"id": 11, "title": "Star Wars", "releaseDate": None, "genres": []}


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (None, [194, 11, 603]),
        ("-watchedAt", [194, 11, 603]),
        ("watchedAt", [603, 11, 194]),
        ("createdAt", [194, 603, 11]),
        ("-createdAt", [11, 603, 194]),
        ("title", [194, 11, 603]),
        ("-title", [603, 11, 194]),
    ],
)
async def test_orders(history: Any, sort: str | None, expected: list[int]) -> None:
    assert await history.movie_ids(**({"sort": sort} if sort else {})) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"movieIds": "603,999"}, [603]),
        ({"movieIds": ["603", "11"]}, [11, 603]),
        ({"genreIds": "28,35"}, [194, 603]),
        ({"genreIds": "12"}, []),
        ({"from": "2020-02-01T00:00:00Z"}, [194, 11]),
        ({"to": "2020-02-01T00:00:00Z"}, [603]),
        ({"from": "2020-01-01T01:00:00+01:00", "to": "2020-03-01T00:00:00Z"}, [11, 603]),
        ({"from": "2020-02-01T00:00:00.0001Z"}, [194]),
        ({"to": "2020-02-01T00:00:00.0001Z"}, [11, 603]),
        ({"from": "2020-02-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}, []),
        ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999999Z"}, [194, 11, 603]),
        ({"title": "amelie"}, [194]),
        ({"title": "MAT the"}, [603]),
        ({"title": "atrix"}, []),
        ({"title": "matrix star"}, []),
        ({"title": "\u0301"}, []),
        ({"title": "s", "genreIds": "28"}, []),
        ({"movieIds": "603,194", "genreIds": "35", "from": "2020-01-01T00:00:00Z", "title": "ame"}, [194]),
    ],
)
async def test_filters_narrow_together(history: Any, params: dict[str, Any], expected: list[int]) -> None:
    assert await history.movie_ids(**params) == expected


async def test_which_of_two_hundred_movies_have_been_seen(history: Any) -> None:
    ids = list(range(450, 650))
    assert await history.movie_ids(movieIds=",".join(map(str, ids))) == [603]
    answer = await history.get("/v1/watched", params={"movieIds": ",".join(map(str, [*ids, 1]))})
    assert_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize(
    "query",
    [
        "sort=name",
        "sort=",
        "movieIds=",
        "movieIds=1,x",
        "genreIds=0",
        "from=2020-01-01",
        "to=2020-01-01T00:00:00",
        "movieid=1",
        "title=",
        "title=%20",
        "title=a&title=b",
        "pageNumber=0",
        "pageSize=101",
        "pageSize=ten",
        "userId=0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11",
    ],
)
async def test_a_query_that_is_not_understood_is_refused(alice: Any, query: str) -> None:
    assert_problem(await alice.get(f"/v1/watched?{query}"), 422, "invalid-request")


async def test_pages_meet_without_gap_or_overlap(catalog: Any, alice: Any) -> None:
    for movie_id in range(1, 8):
        catalog.add(movie_id)
        await alice.mark(movie_id, "2020-01-01T00:00:00Z")
    pages = [(await alice.get(f"/v1/watched?pageSize=3&pageNumber={n}")) for n in range(1, 5)]
    shown = [[entry["movie"]["id"] for entry in page.json()["data"]] for page in pages]
    assert shown == [[1, 2, 3], [4, 5, 6], [7], []]
    assert [page.json()["pagination"]["lastPage"] for page in pages] == [False, False, True, True]
    assert {page.headers["x-total-count"] for page in pages} == {"7"}
    assert 'rel="next"' in pages[0].headers["link"]
    assert 'rel="next"' not in pages[3].headers["link"]


@pytest.mark.parametrize("path", ["/v1/watched", "/v1/watched/603", "/v1/reports/me"])
async def test_what_the_client_has_is_not_sent_again_until_it_changes(history: Any, path: str) -> None:
    first = await history.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    again = await history.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    await history.mark(603, "2024-01-01T00:00:00Z")
    changed = await history.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


MOMENTS = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=n, milliseconds=n) for n in range(4)]
moments = st.sampled_from(MOMENTS)
bounds = st.builds(lambda moment, more: moment + timedelta(microseconds=more), moments, st.sampled_from([0, 300]))
movies = st.builds(
    Movie,
    id=st.integers(1, 30),
    title=st.sampled_from(TITLES),
    release_date=st.none(),
    genres=st.just(()),
)
filters = st.builds(
    HistoryFilter,
    movie_ids=st.none() | st.frozensets(st.integers(1, 30), min_size=1, max_size=20),
    genre_ids=st.none() | st.frozensets(st.integers(1, 5), min_size=1, max_size=3),
    period=st.builds(
        Period,
        start=st.none() | bounds,
        end=st.none() | bounds,
    ),
    title_words=st.none()
    | st.sampled_from([" ", "m", "the", "the mat", "ocean", "oceans e", "$", "aeon", "t t", "8"]).map(searched_words),
)
orders = st.builds(Order, key=st.sampled_from(SortKey), descending=st.booleans())


def _means(wanted: HistoryFilter, entry: NewEntry) -> bool:
    genre_ids = {genre.id for genre in entry.movie.genres}
    start, end = wanted.period.start, wanted.period.end
    return (
        (wanted.movie_ids is None or entry.movie.id in wanted.movie_ids)
        and (wanted.genre_ids is None or bool(genre_ids & wanted.genre_ids))
        and (start is None or entry.watched_at >= start)
        and (end is None or entry.watched_at < end)
        and wanted.title_words != ()
        and all(any(word.startswith(w) for word in words(entry.movie.title)) for w in wanted.title_words or ())
    )


def _sorted(entries: list[NewEntry], order: Order) -> list[NewEntry]:
    def key(entry: NewEntry) -> Any:
        return {
            SortKey.WATCHED_AT: entry.watched_at,
            SortKey.CREATED_AT: entry.created_at,
            SortKey.TITLE: fold(entry.movie.title),
        }[order.key]

    entries = sorted(entries, key=lambda entry: entry.movie.id)
    return sorted(entries, key=key, reverse=order.descending)


@settings(max_examples=60)
@given(
    seen=st.lists(
        st.tuples(movies, st.frozensets(st.integers(1, 5), max_size=3), moments, moments),
        unique_by=lambda seen: seen[0].id,
        max_size=25,
    ),
    wanted=filters,
    order=orders,
    page=st.builds(PageRequest, number=st.integers(1, 3), size=st.integers(1, 10)),
)
async def test_any_filter_order_and_page_agree_with_a_naive_oracle(
    factory: Factory, seen: list[Any], wanted: HistoryFilter, order: Order, page: PageRequest
) -> None:
    user_id = new_id()
    entries = [
        NewEntry(
            user_id,
            Movie(movie.id, movie.title, None, tuple(Genre(g, f"Genre {g}") for g in sorted(genre_ids))),
            to_milliseconds(watched_at),
            created_at,
        )
        for movie, genre_ids, watched_at, created_at in seen
    ]
    await factory._genres.remember(Genre(g, f"Genre {g}") for g in range(1, 6))
    repository: HistoryRepository = factory._history
    for entry in entries:

        async def add(session: Any, entry: NewEntry = entry) -> None:
            await repository.add(entry, session)

        await factory._transactions.run(add)
    expected = [entry.movie.id for entry in _sorted([e for e in entries if _means(wanted, e)], order)]
    found = await repository.list_page(user_id, wanted, order, page)
    assert found.total == len(expected)
    assert [entry.movie.id for entry in found.items] == expected[page.offset : page.offset + page.size]
    streamed = [batch async for batch in repository.stream(user_id, wanted, order)]
    assert [entry.movie.id for entry in itertools.chain(*streamed)] == expected
