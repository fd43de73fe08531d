"""/v1/genres."""

from typing import Any

import pytest

from catalog.domain.genres import GenreChanges
from chassis.testing.http import assert_problem

GENRES = {28: "Action", 35: "Comédie", 18: "Drama", 878: "Science Fiction", 10770: "TV Movie"}


@pytest.fixture
async def _genres(store: Any, movie: Any, resources: Any) -> None:
    await store([movie(1, 28), movie(2, 28, 35), movie(3, 28)], GENRES)
    await resources.genres.apply(GenreChanges(retired={18: "Drama"}), resources.clock(), 0)
    await resources.genres.recount()
    await resources.revisions.advance(genres=True)


pytestmark = pytest.mark.usefixtures("_genres")

LISTED: list[tuple[str, list[int]]] = [
    ("", [28, 35, 18, 878, 10770]),
    ("sort=-name", [10770, 878, 18, 35, 28]),
    ("sort=id", [18, 28, 35, 878, 10770]),
    ("sort=-id", [10770, 878, 35, 28, 18]),
    ("sort=movieCount", [18, 878, 10770, 35, 28]),
    ("sort=-movieCount", [28, 35, 18, 878, 10770]),
    ("name=COMEDIE", [35]),
    ("name=fict", [878]),
    ("name=.", []),
    ("ids=28,10770,999", [28, 10770]),
    ("ids=28&ids=35", [28, 35]),
    ("status=retired", [18]),
    ("status=active&minMovies=1", [28, 35]),
    ("minMovies=4", []),
    ("pageSize=2&pageNumber=2", [18, 878]),
]


async def test_lists(client: Any, person: Any) -> None:
    reader = person()
    found = []
    for query, _ in LISTED:
        answer = await client.get(f"/v1/genres?{query}", headers=reader.headers)
        found.append((query, [genre["id"] for genre in answer.json()["data"]]))

    assert found == LISTED


async def test_one(client: Any, person: Any) -> None:
    answer = await client.get("/v1/genres/18", headers=person().headers)

    genre = answer.json()
    assert set(genre) == {"id", "name", "status", "movieCount", "createdAt", "updatedAt"}
    assert (genre["id"], genre["name"], genre["status"], genre["movieCount"]) == (18, "Drama", "retired", 0)
    assert genre["createdAt"].endswith("Z")
    assert_problem(await client.get("/v1/genres/999", headers=person().headers), 404, "genre-not-found")


REFUSED = [
    "ids=x",
    "ids=",
    "status=gone",
    "minMovies=-1",
    "minMovies=x",
    "sort=movies",
    "name=",
    "title=x",
    "pageSize=0",
]


async def test_bad_input_and_strangers_are_refused(client: Any, person: Any) -> None:
    reader = person()
    for query in REFUSED:
        assert_problem(await client.get(f"/v1/genres?{query}", headers=reader.headers), 422, "invalid-request")
    assert_problem(await client.get("/v1/genres/x", headers=reader.headers), 422, "invalid-request")
    assert_problem(await client.get("/v1/genres"), 401, "unauthenticated")
    assert_problem(await client.get("/v1/genres/28"), 401, "unauthenticated")
