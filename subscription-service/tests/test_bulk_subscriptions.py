"""Subscribing many users at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.clock import to_rfc3339
from chassis.ids import new_id
from chassis.testing.http import assert_problem


def bulk(package_id: str) -> str:
    return f"/v1/packages/{package_id}/subscriptions"


async def test_users_are_subscribed_and_those_who_are_already_are_left_alone(
    api: Any, admin: Any, events: Any, neighbours: Any
) -> None:
    package = (await api.new_package(28)).json()
    early = api.user()
    held = await early.subscribe(package["id"])
    users = [api.user() for _ in range(3)]
    body = {"userIds": [user.user_id for user in (users[0], early, *users[1:])]}
    answer = await admin("POST", bulk(package["id"]), body)
    assert (answer.status_code, answer.json()) == (200, {"created": 3, "alreadySubscribed": 1})
    for user in users:
        assert await user.genre_ids() == [28]
        assert [event["revision"] for event in await events.of_user(user.user_id)] == [1]
    assert (await early("GET", "/v1/subscriptions")).json()["data"] == [held]
    assert len(await events.of_user(early.user_id)) == 1
    again = await admin("POST", bulk(package["id"]), body)
    assert again.json() == {"created": 0, "alreadySubscribed": 4}
    path, _, authorization = neighbours.asked[-1]
    assert path == "/internal/v1/users/lookup"
    assert authorization not in ("", admin.headers["Authorization"])


async def test_a_thousand_users_are_one_transaction(api: Any, admin: Any, sql: Any) -> None:
    package = (await api.new_package(28, 35)).json()
    ids = [str(new_id()) for _ in range(1000)]
    expires_at = to_rfc3339(datetime.now(UTC) + timedelta(days=30))
    answer = await admin("POST", bulk(package["id"]), {"userIds": ids, "expiresAt": expires_at})
    assert answer.json() == {"created": 1000, "alreadySubscribed": 0}
    rows = await sql(
        "SELECT COUNT(*) AS n, COUNT(DISTINCT created_at) AS moments FROM subscriptions WHERE package_id = UNHEX(:id)",
        id=package["id"].replace("-", ""),
    )
    assert (rows[0].n, rows[0].moments) == (1000, 1)
    listed = (await admin("GET", f"/v1/subscriptions?packageId={package['id']}&pageSize=100")).json()
    # Made at the same moment, so the order is that of the ids.
    assert [item["id"] for item in listed["data"]] == sorted(item["id"] for item in listed["data"])
    assert listed["pagination"]["totalPages"] == 10


@pytest.mark.parametrize("known", ["unknown", "disabled"])
async def test_one_who_is_not_an_active_user_refuses_all_and_is_named(
    api: Any, admin: Any, neighbours: Any, known: str
) -> None:
    package = (await api.new_package()).json()
    users = [api.user() for _ in range(4)]
    getattr(neighbours, known).update({str(users[1].user_id), str(users[3].user_id)})
    answer = await admin("POST", bulk(package["id"]), {"userIds": [user.user_id for user in users]})
    document: Any = assert_problem(answer, 422, "unknown-user")
    assert [error["pointer"] for error in document["errors"]] == ["/userIds/1", "/userIds/3"]
    assert [error["message"].split()[0] for error in document["errors"]] == [str(users[i].user_id) for i in (1, 3)]
    assert (await admin("GET", f"/v1/subscriptions?packageId={package['id']}")).json()["data"] == []


async def test_a_user_whose_deletion_identity_has_told_is_refused_although_it_still_answers(
    api: Any, admin: Any, resources: Any
) -> None:
    package = (await api.new_package()).json()
    gone, there = api.user(), api.user()
    await resources.users.forget(gone.user_id)
    answer = await admin("POST", bulk(package["id"]), {"userIds": [there.user_id, gone.user_id]})
    document: Any = assert_problem(answer, 422, "unknown-user")
    assert [error["pointer"] for error in document["errors"]] == ["/userIds/1"]
    assert await there.genre_ids() == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/userIds"),
        ({"userIds": []}, "/userIds"),
        ({"userIds": [str(new_id())] * 2}, "/userIds/1"),
        ({"userIds": [str(new_id()) for _ in range(1001)]}, "/userIds"),
        ({"userIds": ["me"]}, "/userIds/0"),
        ({"userIds": [str(new_id())], "expiresAt": "2020-01-01T00:00:00Z"}, "/expiresAt"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused(
    api: Any, admin: Any, body: dict[str, Any], pointer: str
) -> None:
    package = (await api.new_package()).json()
    document: Any = assert_problem(await admin("POST", bulk(package["id"]), body), 422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == [pointer]


async def test_an_archived_package_takes_nobody(api: Any, admin: Any, neighbours: Any) -> None:
    package = (await api.new_package()).json()
    await api.archive(package["id"])
    answer = await admin("POST", bulk(package["id"]), {"userIds": [str(new_id())]})
    assert_problem(answer, 409, "package-archived")


async def test_who_subscribed_whom_is_on_record(api: Any, admin: Any, sql: Any) -> None:
    package = (await api.new_package()).json()
    user_id = str(new_id())
    await admin("POST", bulk(package["id"]), {"userIds": [user_id]})
    rows = await sql(
        "SELECT HEX(actor_id) AS actor, details FROM audit_entries"
        " WHERE subject_id = UNHEX(:id) AND action = 'package.users-subscribed'",
        id=package["id"].replace("-", ""),
    )
    assert rows[0].actor.lower() == admin.user_id.hex
    assert user_id in rows[0].details
