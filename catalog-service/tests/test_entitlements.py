"""How fresh an answer about permissions is, and that nothing is refused without asking."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.testing.http import assert_problem

GENRES = {28: "Action", 35: "Comedy"}


@pytest.fixture
async def films(store: Any, movie: Any) -> None:
    await store([movie(1, 28), movie(2, 35)], GENRES)


async def listed(client: Any, reader: Any, query: str = "") -> list[int]:
    answer = await client.get(f"/v1/movies?{query}", headers=reader.headers)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


@pytest.mark.usefixtures("films")
async def test_a_grant_is_seen_by_the_very_next_list_of_someone_who_had_nothing(
    client: Any, person: Any, subscriptions: Any
) -> None:
    reader = person()
    assert await listed(client, reader) == []

    subscriptions.grant(reader.id, 28)

    assert await listed(client, reader) == [1]


@pytest.mark.usefixtures("films")
async def test_a_grant_is_seen_by_the_very_next_filter_by_its_genre(
    client: Any, person: Any, subscriptions: Any
) -> None:
    reader = person(28)
    assert await listed(client, reader, "genreIds=28,35") == [1]

    subscriptions.grant(reader.id, 28, 35)

    assert await listed(client, reader, "genreIds=28,35") == [1, 2]


@pytest.mark.usefixtures("films")
async def test_a_grant_is_seen_by_the_very_next_request_for_one_of_its_movies(
    client: Any, person: Any, subscriptions: Any
) -> None:
    reader = person(28)
    refused = await client.get("/v1/movies/2", headers=reader.headers)
    assert_problem(refused, 403, "movie-not-in-your-genres")

    subscriptions.grant(reader.id, 35)

    assert (await client.get("/v1/movies/2", headers=reader.headers)).status_code == 200


@pytest.mark.usefixtures("films")
async def test_fresh_entitlements_are_not_asked_for_again(client: Any, person: Any, subscriptions: Any) -> None:
    reader = person(28)
    for _ in range(5):
        assert await listed(client, reader) == [1]
    assert (await client.get("/v1/movies/1", headers=reader.headers)).status_code == 200

    assert len(subscriptions.asked) == 1


@pytest.mark.usefixtures("films")
async def test_after_a_minute_they_are_confirmed_and_cost_only_a_304(
    client: Any, person: Any, subscriptions: Any, resources: Any
) -> None:
    reader = person(28)
    await listed(client, reader)
    await age(resources, reader, timedelta(seconds=61))

    assert await listed(client, reader) == [1]

    assert (len(subscriptions.asked), subscriptions.not_modified) == (2, 1)
    held = await resources.entitlements.find(reader.id)
    assert datetime.now(UTC) - held.confirmed_at < timedelta(seconds=5)


async def age(resources: Any, reader: Any, by: timedelta) -> None:
    """Let the last confirmation be so long ago, and the memory of the process run out."""
    moment = datetime.now(UTC) - by
    await resources.mongo.database["entitlements"].update_one(
        {"_id": str(reader.id)}, {"$set": {"confirmedAt": moment}}
    )
    await asyncio.sleep(0.55)


@pytest.mark.usefixtures("films")
async def test_without_subscription_service_the_last_known_holds_for_fifteen_minutes(
    client: Any, person: Any, subscriptions: Any, resources: Any
) -> None:
    reader = person(28)
    await listed(client, reader)
    subscriptions.is_down = True

    await age(resources, reader, timedelta(minutes=14, seconds=50))
    assert await listed(client, reader) == [1]
    assert await listed(client, reader, "genreIds=35") == []
    assert_problem(await client.get("/v1/movies/2", headers=reader.headers), 403, "movie-not-in-your-genres")

    await age(resources, reader, timedelta(minutes=15, seconds=1))
    for path in ("/v1/movies", "/v1/movies?genreIds=35", "/v1/movies/1", "/v1/movies/2"):
        refused = await client.get(path, headers=reader.headers)
        assert_problem(refused, 503, "entitlements-unavailable")
        assert int(refused.headers["retry-after"]) > 0


@pytest.mark.usefixtures("films")
async def test_somebody_never_seen_gets_503_and_not_an_empty_list_while_nobody_can_be_asked(
    client: Any, person: Any, subscriptions: Any
) -> None:
    subscriptions.is_down = True

    assert_problem(await client.get("/v1/movies", headers=person(28).headers), 503, "entitlements-unavailable")


@pytest.mark.usefixtures("films")
async def test_a_grant_ends_by_itself(client: Any, person: Any, subscriptions: Any) -> None:
    reader = person()
    ends = datetime.now(UTC) + timedelta(seconds=1.5)
    subscriptions.set(reader.id, [([28], ends), ([35], None)])
    assert await listed(client, reader) == [1, 2]

    await asyncio.sleep((ends - datetime.now(UTC)).total_seconds() + 0.01)

    assert await listed(client, reader) == [2]
    assert_problem(await client.get("/v1/movies/1", headers=reader.headers), 403, "movie-not-in-your-genres")


@pytest.mark.usefixtures("films")
async def test_many_requests_of_one_user_ask_once(client: Any, person: Any, subscriptions: Any) -> None:
    reader = person(28)
    subscriptions.delay_seconds = 0.2

    pages = await asyncio.gather(*(listed(client, reader) for _ in range(50)))

    assert pages == [[1]] * 50
    assert len(subscriptions.asked) == 1


@pytest.mark.usefixtures("films")
async def test_a_refusal_never_rests_on_an_answer_that_was_under_way_before(
    client: Any, person: Any, subscriptions: Any
) -> None:
    reader = person()
    await listed(client, reader)
    subscriptions.delay_seconds = 0.3
    early = asyncio.create_task(listed(client, reader))
    while len(subscriptions.asked) < 3:
        await asyncio.sleep(0.01)

    # The question of the request before has been answered inside of subscription-service, but is not here yet.
    subscriptions.grant(reader.id, 28)
    late = await asyncio.gather(*(listed(client, reader) for _ in range(10)))

    assert await early == []
    assert late == [[1]] * 10
    assert len(subscriptions.asked) == 4


@pytest.mark.usefixtures("films")
async def test_an_empty_set_runs_no_query(client: Any, person: Any, monkeypatch: Any) -> None:
    from catalog.storage.movies import MovieRepository

    async def fail(*_: Any) -> None:
        raise AssertionError("queried")

    monkeypatch.setattr(MovieRepository, "count", fail)
    monkeypatch.setattr(MovieRepository, "page", fail)

    assert await listed(client, person()) == []
    assert await listed(client, person(28), "genreIds=35") == []


async def test_the_projection_takes_newer_revisions_only(resources: Any, statement: Any, person: Any) -> None:
    repository, user_id = resources.entitlements, person().id
    assert await repository.apply(statement(user_id, 2, 28))

    assert not await repository.apply(statement(user_id, 1, 35))
    assert not await repository.apply(statement(user_id, 2, 35))

    assert (await repository.find(user_id)).genres_at(datetime.now(UTC)) == {28}
    assert await repository.apply(statement(user_id, 3))
    assert (await repository.find(user_id)).genres_at(datetime.now(UTC)) == frozenset()


async def test_fifty_revisions_at_once_leave_the_newest(resources: Any, statement: Any, person: Any) -> None:
    repository, user_id = resources.entitlements, person().id

    await asyncio.gather(*(repository.apply(statement(user_id, revision, revision)) for revision in range(1, 51)))

    held = await repository.find(user_id)
    assert (held.revision, held.genres_at(datetime.now(UTC))) == (50, {50})


async def test_the_same_revision_confirms_and_never_goes_back(resources: Any, statement: Any, person: Any) -> None:
    repository, user_id = resources.entitlements, person().id
    await repository.apply(statement(user_id, 1, 28, age=timedelta(minutes=5)))
    await repository.apply(statement(user_id, 1, 28, age=timedelta(minutes=1), etag='"a"'))
    await repository.apply(statement(user_id, 1, 28, age=timedelta(minutes=9)))

    held = await repository.find(user_id)
    assert timedelta(seconds=59) < datetime.now(UTC) - held.confirmed_at < timedelta(seconds=70)
    assert held.etag == '"a"'
