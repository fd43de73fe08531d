"""GET /v1/movies: what is in the list, in which order, and how it is narrowed."""

from datetime import date
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem

pytestmark = pytest.mark.usefixtures("store")

GENRES = {28: "Action", 35: "Comedy", 18: "Drama", 878: "Science Fiction"}


async def ids(client: httpx.AsyncClient, headers: dict[str, str], query: str = "") -> list[int]:
    answer = await client.get(f"/v1/movies?pageSize=100&{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return [movie["id"] for movie in answer.json()["data"]]


@pytest.fixture
async def films(store: Any, movie: Any) -> None:
    await store(
        [
            movie(1, 28, popularity=5.0, title="Amélie's Return", release_date=date(2001, 4, 25), vote_average=8.0),
            movie(2, 28, 35, popularity=9.0, title="Ocean's Eleven", release_date=date(2001, 12, 7), vote_average=7.0),
            movie(3, 35, popularity=9.0, title="Äpfel & Birnen", original_title="Яблоки", original_language="ru"),
            movie(4, 18, popularity=99.0, title="Spider-Man: No Way Home", release_date=date(2021, 12, 15)),
            movie(5, 28, 18, popularity=1.0, title="The Matrix", release_date=date(1999, 3, 31), vote_average=8.2),
            movie(6, popularity=1000.0, title="Without Genres"),
            movie(7, 10769, popularity=1000.0, title="Of a dropped genre"),
        ],
        GENRES,
    )


@pytest.mark.usefixtures("films")
async def test_only_movies_of_entitled_genres_most_popular_first(client: Any, person: Any) -> None:
    reader = person(28, 35)

    assert await ids(client, reader.headers) == [2, 3, 1, 5]


@pytest.mark.usefixtures("films")
async def test_a_page_has_the_shape_of_the_contract(client: Any, person: Any) -> None:
    reader = person(28)

    answer = await client.get("/v1/movies?pageSize=1&pageNumber=2&sort=title", headers=reader.headers)

    assert answer.json() == {
        "data": [
            {
                "id": 2,
                "title": "Ocean's Eleven",
                "originalTitle": "Film 2",
                "originalLanguage": "en",
                "overview": "",
                "releaseDate": "2001-12-07",
                "genres": [{"id": 28, "name": "Action"}, {"id": 35, "name": "Comedy"}],
                "popularity": 9.0,
                "voteAverage": 7.0,
                "voteCount": 10,
                "posterUrl": None,
            }
        ],
        "pagination": {"pageNumber": 2, "pageSize": 1, "totalPages": 3, "lastPage": False, "firstPage": False},
    }
    assert answer.headers["x-total-count"] == "3"
    assert '</v1/movies?sort=title&pageNumber=3&pageSize=1>; rel="next"' in answer.headers["link"]
    assert answer.headers["cache-control"] == "private, no-cache"


ORDERS = [
    ("popularity", [5, 1, 2, 3]),
    ("-popularity", [2, 3, 1, 5]),
    ("releaseDate", [3, 5, 1, 2]),
    ("-releaseDate", [2, 1, 5, 3]),
    ("title", [1, 3, 2, 5]),
    ("-title", [5, 2, 3, 1]),
    ("voteAverage", [3, 2, 1, 5]),
    ("-voteAverage", [5, 1, 2, 3]),
]


@pytest.mark.usefixtures("films")
async def test_every_order_is_total(client: Any, person: Any) -> None:
    reader = person(28, 35)

    assert [(sort, await ids(client, reader.headers, f"sort={sort}")) for sort, _ in ORDERS] == ORDERS


NARROWED = [
    ("genreIds=28", [2, 1, 5]),
    ("genreIds=28,35", [2, 3, 1, 5]),
    ("genreIds=28&genreIds=35&genresMode=all", [2]),
    ("genreIds=28,18", [2, 1, 5]),
    ("genreIds=28,18&genresMode=all", []),
    ("genreIds=18", []),
    ("genreIds=999", []),
    ("title=amelie", [1]),
    ("title=AMÉLIE%20ret", [1]),
    ("title=elie", []),
    ("title=ocean's", [2]),
    ("title=oceans+eleven", [2]),
    ("title=eleven+oc", [2]),
    ("title=ябл", [3]),
    ("title=apfel", [3]),
    ("title=%26", [3]),
    ("title=.*", []),
    ("title=%5Ematrix%24", [5]),
    ("title=%CC%81", []),
    ("releasedFrom=2001-04-25&releasedTo=2001-12-07", [2, 1]),
    ("releasedFrom=2001-04-26", [2]),
    ("releasedTo=1999-03-31", [5]),
    ("releasedFrom=2002-01-01&releasedTo=2001-01-01", []),
    ("minRating=8", [1, 5]),
    ("minRating=8.2", [5]),
    ("language=RU", [3]),
    ("language=fr", []),
    ("title=the&minRating=8&genreIds=28&sort=title&releasedTo=2000-01-01", [5]),
]


@pytest.mark.usefixtures("films")
async def test_narrowing(client: Any, person: Any) -> None:
    reader = person(28, 35)

    assert [(query, await ids(client, reader.headers, query)) for query, _ in NARROWED] == NARROWED


@pytest.mark.usefixtures("films")
async def test_pages_do_not_overlap_and_miss_nothing(client: Any, person: Any) -> None:
    reader = person(28, 35)
    seen = []
    for number in (1, 2, 3, 4):
        answer = await client.get(f"/v1/movies?pageSize=1&pageNumber={number}", headers=reader.headers)
        seen += [movie["id"] for movie in answer.json()["data"]]

    assert seen == [2, 3, 1, 5]
    beyond = await client.get("/v1/movies?pageSize=1&pageNumber=5", headers=reader.headers)
    assert beyond.json() == {
        "data": [],
        "pagination": {"pageNumber": 5, "pageSize": 1, "totalPages": 4, "lastPage": True, "firstPage": False},
    }


@pytest.mark.usefixtures("films")
async def test_nothing_entitled_is_an_empty_page(client: Any, person: Any) -> None:
    answer = await client.get("/v1/movies", headers=person().headers)

    assert answer.json() == {
        "data": [],
        "pagination": {"pageNumber": 1, "pageSize": 10, "totalPages": 0, "lastPage": True, "firstPage": True},
    }


async def test_a_poster_is_a_full_address(client: Any, person: Any, store: Any, movie: Any) -> None:
    await store([movie(1, 28, poster_path="/abc.jpg")], GENRES)

    answer = await client.get("/v1/movies", headers=person(28).headers)

    assert answer.json()["data"][0]["posterUrl"] == "https://image.tmdb.org/t/p/w500/abc.jpg"


REFUSED = [
    ("sort=revenue", "sort"),
    ("sort=--title", "sort"),
    ("genresMode=some", "genresMode"),
    ("genreIds=action", "genreIds"),
    ("genreIds=0", "genreIds"),
    ("genreIds=", "genreIds"),
    ("genreIds=99999999999", "genreIds"),
    ("title=", "title"),
    ("title=%20", "title"),
    ("title=" + "x" * 201, "title"),
    ("title=a&title=b", "title"),
    ("title=%00", "title"),
    ("releasedFrom=2001-02-30", "releasedFrom"),
    ("releasedFrom=1000000000", "releasedFrom"),
    ("releasedTo=01/02/2003", "releasedTo"),
    ("minRating=11", "minRating"),
    ("minRating=-1", "minRating"),
    ("minRating=nan", "minRating"),
    ("minRating=1e0", "minRating"),
    ("language=english", "language"),
    ("pageSize=101", "pageSize"),
    ("pageNumber=0", "pageNumber"),
    ("genreId=28", "genreId"),
    ("q=x", "q"),
]


async def test_bad_input_is_refused(client: Any, person: Any) -> None:
    reader = person(28)
    for query, pointer in REFUSED:
        answer = await client.get(f"/v1/movies?{query}", headers=reader.headers)

        problem: dict[str, Any] = assert_problem(answer, 422, "invalid-request")
        assert {error["pointer"] for error in problem["errors"]} == {pointer}, query


async def test_anonymous_is_refused(client: Any) -> None:
    assert_problem(await client.get("/v1/movies"), 401, "unauthenticated")
