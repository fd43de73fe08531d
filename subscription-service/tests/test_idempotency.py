"""Creating something with an Idempotency-Key."""

import asyncio
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.testing.http import assert_problem


async def test_a_repetition_gets_the_first_answer_whatever_has_happened_since(api: Any, user: Any, events: Any) -> None:
    body = {"packageId": (await api.new_package()).json()["id"]}
    first = await user("POST", "/v1/subscriptions", body, idempotency_key="once")
    assert "idempotency-replayed" not in first.headers
    await user("DELETE", first.headers["location"])
    again = await user("POST", "/v1/subscriptions", body, idempotency_key="once")
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    for name in ("location", "etag", "cache-control", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert len(await events.of_user(user.user_id)) == 2


async def test_a_repetition_asks_nobody_again(api: Any, admin: Any, neighbours: Any) -> None:
    from starlette.responses import Response

    body = {"name": f"Package {new_id()}", "genreIds": [28]}
    first = await admin("POST", "/v1/packages", body, idempotency_key="k")
    users = {"userIds": [new_id()]}
    path = f"{first.headers['location']}/subscriptions"
    bulk = await admin("POST", path, users, idempotency_key="k2")
    neighbours.failure = Response(status_code=503)
    again = await admin("POST", "/v1/packages", body, idempotency_key="k")
    assert (again.status_code, again.content) == (201, first.content)
    assert (await admin("POST", path, users, idempotency_key="k2")).content == bulk.content


async def test_a_key_belongs_to_one_caller_and_one_body(api: Any, user: Any) -> None:
    package = (await api.new_package()).json()
    body = {"packageId": package["id"]}
    first = await user("POST", "/v1/subscriptions", body, idempotency_key="mine")
    other = await api.user()("POST", "/v1/subscriptions", body, idempotency_key="mine")
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]
    another = {"packageId": (await api.new_package()).json()["id"]}
    answer = await user("POST", "/v1/subscriptions", another, idempotency_key="mine")
    assert_problem(answer, 422, "idempotency-key-reused")


async def test_what_was_refused_may_be_tried_again_with_the_same_key(api: Any, user: Any) -> None:
    package = (await api.new_package()).json()
    body = {"packageId": package["id"]}
    await api.archive(package["id"])
    answer = await user("POST", "/v1/subscriptions", body, idempotency_key="again")
    assert_problem(answer, 409, "package-archived")
    await api.admin()("POST", f"/v1/packages/{package['id']}/restore")
    assert (await user("POST", "/v1/subscriptions", body, idempotency_key="again")).status_code == 201


async def test_of_fifty_at_once_one_creates_and_all_get_its_answer(api: Any, user: Any, events: Any) -> None:
    body = {"packageId": (await api.new_package()).json()["id"]}
    answers = await asyncio.gather(
        *(user("POST", "/v1/subscriptions", body, idempotency_key="race") for _ in range(50))
    )
    assert {answer.status_code for answer in answers} <= {201, 409}
    created = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in created}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in created) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "idempotency-in-flight")
    assert len(await events.of_user(user.user_id)) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "ümlaut"])
async def test_a_key_that_is_none_is_refused(api: Any, user: Any, key: str) -> None:
    body = {"packageId": (await api.new_package()).json()["id"]}
    answer = await user("POST", "/v1/subscriptions", body, idempotency_key=key.encode("latin-1"))
    document: Any = assert_problem(answer, 422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == ["Idempotency-Key"]


async def test_answers_are_forgotten_after_a_day(api: Any, user: Any, resources: Any, sql: Any) -> None:
    body = {"packageId": (await api.new_package()).json()["id"]}
    await user("POST", "/v1/subscriptions", body, idempotency_key="old")
    await sql("UPDATE idempotency_keys SET created_at = created_at - INTERVAL 25 HOUR")
    assert_problem(await user("POST", "/v1/subscriptions", body, idempotency_key="old"), 409, "already-subscribed")
    await resources.creator.sweep(10_000)
    assert (await sql("SELECT COUNT(*) AS n FROM idempotency_keys"))[0].n == 0
