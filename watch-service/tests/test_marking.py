"""Marking and unmarking: what is stored, when, and who may."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from chassis.clock import to_rfc3339
from chassis.testing.http import assert_problem


async def test_the_first_marking_creates_an_entry_that_can_be_read_at_its_location(catalog: Any, alice: Any) -> None:
    catalog.add(603, "The Matrix", (28, 878), "1999-03-31")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    answer = await alice.mark(603)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/watched/603"
    entry = answer.json()
    assert entry["movie"] == {
        "id": 603,
        "title": "The Matrix",
        "releaseDate": "1999-03-31",
        "genres": [{"id": 28, "name": "Action"}, {"id": 878, "name": "Science Fiction"}],
    }
    assert entry["watchedAt"] == entry["createdAt"]
    assert before <= datetime.fromisoformat(entry["watchedAt"]) <= datetime.now(UTC)
    assert (await alice.get(answer.headers["location"])).json() == entry


async def test_the_catalog_is_asked_with_the_users_own_token(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    await alice.mark(603)
    assert catalog.asked == [("/v1/movies/603", alice.headers["Authorization"])]


async def test_marking_again_changes_nothing_unless_a_time_is_sent(catalog: Any, alice: Any) -> None:
    catalog.add(603, "The Matrix")
    first = await alice.mark(603, "2020-01-01T10:00:00Z")
    catalog.add(603, "Another title", (18,))
    again = await alice.mark(603)
    assert (again.status_code, again.json()) == (200, first.json())
    assert "location" not in again.headers
    moved = await alice.mark(603, "2021-05-05T12:00:00.123456+02:00")
    assert moved.status_code == 200
    assert moved.json() == first.json() | {"watchedAt": "2021-05-05T10:00:00.123000Z"}


async def test_every_marking_is_validated_not_only_the_first(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    await alice.mark(603)
    catalog.hidden.add(603)
    assert_problem(await alice.mark(603, "2020-01-01T00:00:00Z"), 403, "movie-not-in-your-genres")
    assert (await alice.get("/v1/watched/603")).json()["watchedAt"] > "2021"


async def test_a_movie_outside_the_genres_is_refused_and_not_stored(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    catalog.hidden.add(603)
    assert_problem(await alice.mark(603), 403, "movie-not-in-your-genres")
    assert await alice.movie_ids() == []


async def test_a_movie_that_the_catalog_does_not_know_is_not_found(alice: Any) -> None:
    assert_problem(await alice.mark(999), 404, "movie-not-found")
    assert await alice.movie_ids() == []


@pytest.mark.parametrize(
    ("watched_at", "accepted"),
    [
        (timedelta(minutes=4, seconds=50), True),
        (timedelta(minutes=5, seconds=10), False),
        ("1888-01-01T00:00:00Z", True),
        ("1887-12-31T23:59:59.999Z", False),
        ("1888-01-01T00:30:00+01:00", False),
        ("9999-12-31T23:59:59Z", False),
    ],
)
async def test_times_in_the_future_or_before_there_were_films_are_refused(
    catalog: Any, alice: Any, watched_at: str | timedelta, accepted: bool
) -> None:
    catalog.add(603)
    sent = watched_at if isinstance(watched_at, str) else to_rfc3339(datetime.now(UTC) + watched_at)
    answer = await alice.mark(603, sent)
    if accepted:
        assert answer.status_code == 201
    else:
        errors = assert_problem(answer, 422, "invalid-request")["errors"]
        assert [error["pointer"] for error in errors] == ["/watchedAt"]  # type: ignore[attr-defined]
        assert await alice.movie_ids() == []
        assert catalog.asked == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed-json"),
        (b'{"watchedAt": NaN}', 400, "malformed-json"),
        (b'{"watchedAt": "2020-01-01"}', 422, "invalid-request"),
        (b'{"watchedAt": "2020-01-01T00:00:00"}', 422, "invalid-request"),
        (b'{"watchedAt": 1577836800}', 422, "invalid-request"),
        (b'{"watched_at": "2020-01-01T00:00:00Z"}', 422, "invalid-request"),
        (b'{"watchedAt": "2020-01-01T00:00:00Z", "movieId": 1}', 422, "invalid-request"),
        (b'{"watchedAt": "2020-01-01T00:00:00Z", "watchedAt": "2021-01-01T00:00:00Z"}', 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
    ],
)
async def test_a_bad_body_is_refused_and_nothing_is_stored(
    catalog: Any, alice: Any, content: bytes, status: int, code: str
) -> None:
    catalog.add(603)
    headers = {**alice.headers, "content-type": "application/json"}
    assert_problem(await alice.client.put("/v1/watched/603", content=content, headers=headers), status, code)
    assert await alice.movie_ids() == []


async def test_a_body_that_is_not_declared_as_json_is_refused(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    headers = {**alice.headers, "content-type": "text/plain"}
    answer = await alice.client.put("/v1/watched/603", content=b"{}", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize("movie_id", ["0", "-1", "2147483648", "abc", "1.5"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_id_that_no_movie_can_have_is_refused(alice: Any, method: str, movie_id: str) -> None:
    answer = await alice.client.request(method, f"/v1/watched/{movie_id}", headers=alice.headers)
    assert_problem(answer, 422, "invalid-request")


async def test_unmarking_removes_the_entry_and_is_idempotent(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    await alice.mark(603)
    for _ in range(2):
        answer = await alice.unmark(603)
        assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(await alice.get("/v1/watched/603"), 404, "movie-not-watched")


async def test_marking_after_unmarking_is_a_first_marking_again(catalog: Any, alice: Any) -> None:
    catalog.add(603)
    old = (await alice.mark(603, "2020-01-01T00:00:00Z")).json()
    await alice.unmark(603)
    new = await alice.mark(603)
    assert new.status_code == 201
    assert new.json()["createdAt"] > old["createdAt"]
    assert new.json()["watchedAt"] > "2021"


async def test_fifty_markings_at_once_leave_one_entry_and_one_creation(catalog: Any, alice: Any, mongo: Any) -> None:
    catalog.add(603)
    answers = await asyncio.gather(*(alice.mark(603) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert await mongo.database["watched"].count_documents({"userId": alice.id}) == 1
    assert (await mongo.database["users"].find_one({"_id": alice.id}))["films"] == 1


async def test_fifty_movies_marked_and_unmarked_at_once_are_counted_rightly(
    catalog: Any, alice: Any, mongo: Any
) -> None:
    for movie_id in range(1, 51):
        catalog.add(movie_id)
    answers = await asyncio.gather(*(alice.mark(movie_id) for movie_id in range(1, 51)))
    assert {answer.status_code for answer in answers} == {201}
    changes = [alice.unmark(m) for m in range(1, 26)] + [alice.unmark(m) for m in range(1, 26)]
    assert {answer.status_code for answer in await asyncio.gather(*changes)} == {204}
    assert (await mongo.database["users"].find_one({"_id": alice.id}))["films"] == 25
    assert (await alice.get("/v1/reports/me")).json()["totalFilmsWatched"] == 25


async def test_nobody_sees_or_changes_the_history_of_another(catalog: Any, person: Any) -> None:
    one, other = person(), person()
    catalog.add(603)
    await one.mark(603)
    assert_problem(await other.get("/v1/watched/603"), 404, "movie-not-watched")
    await other.unmark(603)
    assert await other.movie_ids() == []
    assert await one.movie_ids() == [603]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/watched/603"),
        ("DELETE", "/v1/watched/603"),
        ("GET", "/v1/watched/603"),
        ("GET", "/v1/watched"),
        ("GET", "/v1/reports/me"),
        ("GET", "/v1/reports/users"),
        ("GET", "/v1/reports/users/0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"),
    ],
)
async def test_without_a_valid_token_nothing_is_answered(
    client: httpx.AsyncClient, alice: Any, method: str, path: str
) -> None:
    assert_problem(await client.request(method, path), 401, "unauthenticated")
    forged = {"Authorization": alice.headers["Authorization"][:-4] + "AAAA"}
    assert_problem(await client.request(method, path, headers=forged), 401, "invalid-token")
