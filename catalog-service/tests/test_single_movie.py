"""GET /v1/movies/{id}: permission, reading through from TMDB, and what is unknown."""

import asyncio
import time
from typing import Any

import pytest

from chassis.testing.http import assert_problem
from chassis.testing.tracing import recording
from chassis.tracing import Kind

GENRES = {28: "Action", 35: "Comedy"}
FILM = {
    "id": 900010,
    "title": "Only at TMDB",
    "release_date": "2020-01-01",
    "original_language": "en",
    "genre_ids": [28],
    "popularity": 3.0,
    "vote_average": 5.0,
    "vote_count": 1,
}


@pytest.fixture
def film(simulator: Any) -> Any:
    simulator.put_film(FILM)
    yield FILM
    simulator.remove_film(FILM["id"])


@pytest.fixture
async def _genres(store: Any, movie: Any) -> None:
    await store([movie(1, 28), movie(2, 35), movie(3)], GENRES)


pytestmark = pytest.mark.usefixtures("_genres")


async def test_permitted_forbidden_and_unknown(client: Any, person: Any) -> None:
    reader = person(28)

    answer = await client.get("/v1/movies/1", headers=reader.headers)
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["genres"]) == (1, [{"id": 28, "name": "Action"}])
    assert_problem(await client.get("/v1/movies/2", headers=reader.headers), 403, "movie-not-in-your-genres")
    assert_problem(await client.get("/v1/movies/3", headers=reader.headers), 403, "movie-not-in-your-genres")
    assert_problem(await client.get("/v1/movies/2147483647", headers=reader.headers), 404, "movie-not-found")


async def test_a_request_to_tmdb_is_a_span_of_the_request_that_needs_it(
    client: Any, person: Any, simulator: Any, film: Any
) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {**person(28).headers, "traceparent": traceparent}
    with recording() as tracer:
        assert (await client.get(f"/v1/movies/{film['id']}", headers=headers)).status_code == 200
        assert (await client.get("/v1/movies/2147483646", headers=headers)).status_code == 404

    asked = [span for span in tracer.spans if str(span.attributes.get("url.path", "")).startswith("/movie/")]
    servers = [span for span in tracer.spans if span.kind is Kind.SERVER]
    assert [span.parent for span in asked] == [span.traceparent for span in servers]
    assert [span.attributes["http.response.status_code"] for span in asked] == [200, 404]
    assert {span.kind for span in asked} == {Kind.CLIENT}
    assert all(span.ended_with == [None] for span in asked)


async def test_bad_ids_and_strangers_are_refused(client: Any, person: Any) -> None:
    for bad in ("0", "-1", "abc", "1.5", "2147483648", "603%20", "٣"):
        assert_problem(await client.get(f"/v1/movies/{bad}", headers=person(28).headers), 422, "invalid-request")
    assert_problem(await client.get("/v1/movies/1"), 401, "unauthenticated")
    assert_problem(await client.get("/v1/movies/1?x=1", headers=person(28).headers), 422, "invalid-request")


async def test_a_tag_saves_the_body(client: Any, person: Any) -> None:
    reader = person(28)
    for path in ("/v1/movies/1", "/v1/movies", "/v1/genres", "/v1/genres/28"):
        first = await client.get(path, headers=reader.headers)
        again = await client.get(path, headers={**reader.headers, "If-None-Match": first.headers["etag"]})

        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
        other = await client.get(path, headers={**reader.headers, "If-None-Match": '"other"'})
        assert other.content == first.content


async def test_a_missing_movie_is_read_through_once(client: Any, person: Any, simulator: Any, film: Any) -> None:
    reader = person(28)
    path = f"/v1/movies/{film['id']}"

    answers = await asyncio.gather(*(client.get(path, headers=reader.headers) for _ in range(50)))

    assert {answer.status_code for answer in answers} == {200}
    assert (await client.get(path, headers=reader.headers)).json()["title"] == "Only at TMDB"
    assert len(simulator.requests(f"/3/movie/{film['id']}")) == 1


async def test_what_was_read_through_is_listed_from_then_on(client: Any, person: Any, film: Any) -> None:
    reader = person(28)
    listed = await client.get("/v1/movies", headers=reader.headers)
    assert [row["id"] for row in listed.json()["data"]] == [1]

    await client.get(f"/v1/movies/{film['id']}", headers=reader.headers)
    # The catalog's revision is looked at twice a second.
    async with asyncio.timeout(3):
        while [row["id"] for row in listed.json()["data"]] != [film["id"], 1]:
            listed = await client.get("/v1/movies", headers=reader.headers)
            await asyncio.sleep(0.05)


async def test_a_forbidden_movie_is_read_through_and_refused(client: Any, person: Any, film: Any) -> None:
    refused = await client.get(f"/v1/movies/{film['id']}", headers=person(35).headers)

    assert_problem(refused, 403, "movie-not-in-your-genres")


async def test_what_tmdb_does_not_know_is_asked_for_once(client: Any, person: Any, simulator: Any) -> None:
    reader = person(28)

    for _ in range(3):
        assert_problem(await client.get("/v1/movies/987654", headers=reader.headers), 404, "movie-not-found")

    assert len(simulator.requests("/3/movie/987654")) == 1


async def test_without_tmdb_what_is_stored_is_served_and_the_rest_is_503(
    client: Any, person: Any, simulator: Any, film: Any
) -> None:
    reader = person(28)
    simulator.fault("error", status=500)

    assert (await client.get("/v1/movies/1", headers=reader.headers)).status_code == 200
    assert (await client.get("/v1/movies", headers=reader.headers)).status_code == 200
    refused = await client.get(f"/v1/movies/{film['id']}", headers=reader.headers)
    assert_problem(refused, 503, "movie-lookup-unavailable")
    asked = len(simulator.requests("/3/movie"))
    for other in range(900020, 900030):
        await client.get(f"/v1/movies/{other}", headers=reader.headers)
    assert len(simulator.requests("/3/movie")) == asked


async def test_nobody_waits_for_long_when_tmdb_wants_to_be_left_alone(
    client: Any, person: Any, simulator: Any, film: Any
) -> None:
    simulator.fault("error", status=429, retry_after="60", path="/3/movie/")
    begin = time.monotonic()

    refused = await client.get(f"/v1/movies/{film['id']}", headers=person(28).headers)

    assert_problem(refused, 503, "movie-lookup-unavailable")
    assert time.monotonic() - begin < 8


@pytest.mark.parametrize("kind", ["gzip-without-header", "truncated-json", "malformed-rows", "genre-ids-missing"])
async def test_a_broken_answer_is_never_stored(  # noqa: PLR0913 - fixtures
    client: Any, person: Any, simulator: Any, film: Any, resources: Any, kind: str
) -> None:
    simulator.fault(kind, path="/3/movie/")

    refused = await client.get(f"/v1/movies/{film['id']}", headers=person(28).headers)

    assert_problem(refused, 503, "movie-lookup-unavailable")
    assert await resources.movies.find(film["id"]) is None
