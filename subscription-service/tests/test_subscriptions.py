"""Subscribing, reading, upgrading and cancelling."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.clock import to_rfc3339
from chassis.ids import new_id
from chassis.testing.http import assert_problem


def in_future(**delta: float) -> str:
    return to_rfc3339(datetime.now(UTC) + timedelta(**delta))


async def test_a_subscription_is_shown_as_it_will_be_read(api: Any, user: Any) -> None:
    package = (await api.new_package(28)).json()
    expires_at = in_future(days=1)
    made = await user("POST", "/v1/subscriptions", {"packageId": package["id"], "expiresAt": expires_at})
    body = made.json()
    assert made.status_code == 201
    assert made.headers["location"] == f"/v1/subscriptions/{body['id']}"
    assert body == {
        "id": body["id"],
        "userId": str(user.user_id),
        "package": {"id": package["id"], "name": package["name"]},
        "packageVersion": 1,
        "genres": [{"id": 28, "name": "Action"}],
        "status": "active",
        "createdAt": body["createdAt"],
        "expiresAt": expires_at,
        "cancelledAt": None,
    }
    read = await user("GET", made.headers["location"])
    assert (read.json(), read.headers["etag"]) == (body, made.headers["etag"])
    assert (await user("GET", made.headers["location"], if_none_match=read.headers["etag"])).status_code == 304


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/packageId"),
        ({"packageId": 7}, "/packageId"),
        ({"packageId": "7"}, "/packageId"),
        ({"packageId": str(new_id()).upper()}, "/packageId"),
        ({"packageId": str(new_id()), "userId": str(new_id())}, "/userId"),
        ({"packageId": str(new_id()), "expiresAt": "2020-01-01T00:00:00Z"}, "/expiresAt"),
        # What never expires is stored with the last moment that there is.
        ({"packageId": str(new_id()), "expiresAt": "9999-12-31T23:59:59.999999Z"}, "/expiresAt"),
        ({"packageId": str(new_id()), "expiresAt": "2999-01-01T00:00:00"}, "/expiresAt"),
        ({"packageId": str(new_id()), "expiresAt": 32503680000}, "/expiresAt"),
        ({"packageId": str(new_id()), "expiresAt": "tomorrow"}, "/expiresAt"),
    ],
)
async def test_a_subscription_that_makes_no_sense_is_refused(user: Any, body: dict[str, Any], pointer: str) -> None:
    document: Any = assert_problem(await user("POST", "/v1/subscriptions", body), 422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == [pointer]
    assert (await user("GET", "/v1/subscriptions")).json()["data"] == []


async def test_one_active_subscription_to_a_package_per_user(api: Any, user: Any) -> None:
    package = (await api.new_package()).json()
    first = await user.subscribe(package["id"])
    answer = await user("POST", "/v1/subscriptions", {"packageId": package["id"]})
    assert_problem(answer, 409, "already-subscribed")
    await api.user().subscribe(package["id"])
    await user("DELETE", f"/v1/subscriptions/{first['id']}")
    await api.edit(package["id"], {"genreIds": [18]})
    again = await user.subscribe(package["id"])
    assert (again["packageVersion"], again["genres"]) == (2, [{"id": 18, "name": "Drama"}])
    assert again["id"] != first["id"]


async def test_an_archived_package_takes_no_new_subscriptions_and_keeps_the_old(api: Any, user: Any) -> None:
    package = (await api.new_package(28)).json()
    held = await user.subscribe(package["id"])
    await api.archive(package["id"])
    other = api.user()
    answer = await other("POST", "/v1/subscriptions", {"packageId": package["id"]})
    assert_problem(answer, 409, "package-archived")
    assert await user.genre_ids() == [28]
    assert (await user("POST", f"/v1/subscriptions/{held['id']}/upgrade")).status_code == 200
    await user("DELETE", f"/v1/subscriptions/{held['id']}")
    answer = await user("POST", "/v1/subscriptions", {"packageId": package["id"]})
    assert_problem(answer, 409, "package-archived")


async def test_somebody_elses_subscription_is_not_found_save_by_an_administrator(
    api: Any, user: Any, admin: Any
) -> None:
    path = f"/v1/subscriptions/{(await user.subscribe((await api.new_package()).json()['id']))['id']}"
    other = api.user()
    for method, target in (("GET", path), ("DELETE", path), ("POST", f"{path}/upgrade")):
        assert_problem(await other(method, target), 404, "subscription-not-found")
    assert (await user("GET", path)).json()["status"] == "active"
    assert (await admin("GET", path)).json()["userId"] == str(user.user_id)
    assert (await admin("POST", f"{path}/upgrade")).status_code == 200
    assert (await admin("DELETE", path)).status_code == 204
    assert (await user("GET", path)).json()["status"] == "cancelled"
    assert_problem(await admin("GET", f"/v1/subscriptions/{new_id()}"), 404, "subscription-not-found")


async def test_cancelling_ends_access_at_once_and_may_be_repeated(api: Any, user: Any, events: Any) -> None:
    subscription = await user.subscribe((await api.new_package(28)).json()["id"])
    path = f"/v1/subscriptions/{subscription['id']}"
    for _ in range(2):
        answer = await user("DELETE", path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert await user.genre_ids() == []
    ended = (await user("GET", path)).json()
    assert ended["status"] == "cancelled"
    assert ended["cancelledAt"] > ended["createdAt"]
    assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]
    assert_problem(await user("POST", f"{path}/upgrade"), 409, "subscription-not-active")


async def test_upgrading_moves_to_the_newest_version_once(api: Any, user: Any, events: Any) -> None:
    package = (await api.new_package(28)).json()
    path = f"/v1/subscriptions/{(await user.subscribe(package['id']))['id']}"
    await api.edit(package["id"], {"genreIds": [18]})
    await api.edit(package["id"], {"genreIds": [35], "name": f"Third {new_id()}"})
    assert await user.genre_ids() == [28]
    for _ in range(2):
        upgraded = (await user("POST", f"{path}/upgrade")).json()
        assert (upgraded["packageVersion"], upgraded["genres"]) == (3, [{"id": 35, "name": "Comedy"}])
        assert upgraded["package"]["name"].startswith("Third")
    assert await user.genre_ids() == [35]
    assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]


async def test_expiry_ends_access_without_any_job(api: Any, user: Any, clock: Any, events: Any) -> None:
    package = (await api.new_package(28)).json()
    first = await user.subscribe(package["id"], expiresAt=in_future(hours=1))
    assert (await user("GET", "/v1/subscriptions?status=active")).headers["x-total-count"] == "1"
    clock.ahead = timedelta(hours=2)
    assert await user.genre_ids() == []
    read = (await user("GET", f"/v1/subscriptions/{first['id']}")).json()
    assert (read["status"], read["cancelledAt"]) == ("expired", None)
    for status, count in (("active", 0), ("expired", 1), ("cancelled", 0)):
        listed = await user("GET", f"/v1/subscriptions?status={status}")
        assert (len(listed.json()["data"]), listed.headers["x-total-count"]) == (count, str(count))
    assert_problem(await user("POST", f"/v1/subscriptions/{first['id']}/upgrade"), 409, "subscription-not-active")
    assert (await user("DELETE", f"/v1/subscriptions/{first['id']}")).status_code == 204
    assert (await user("GET", f"/v1/subscriptions/{first['id']}")).json()["status"] == "expired"
    # No job has run, and yet the way is free for a new one.
    await user.subscribe(package["id"], expiresAt=in_future(days=3))
    assert await user.genre_ids() == [28]
    assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]


async def test_the_job_marks_what_has_expired_and_changes_nothing_else(  # noqa: PLR0913 - fixtures
    api: Any, user: Any, clock: Any, resources: Any, sql: Any, events: Any
) -> None:
    subscription = await user.subscribe((await api.new_package()).json()["id"], expiresAt=in_future(hours=1))
    clock.ahead = timedelta(hours=2)
    before = (await user("GET", f"/v1/subscriptions/{subscription['id']}")).json()
    while await resources.subscriptions.mark_expired(2):
        pass
    rows = await sql("SELECT status FROM subscriptions WHERE user_id = :user", user=user.user_id.bytes)
    assert [row.status for row in rows] == ["expired"]
    assert (await user("GET", f"/v1/subscriptions/{subscription['id']}")).json() == before
    assert len(await events.of_user(user.user_id)) == 1


async def test_a_deleted_user_with_a_valid_token_cannot_subscribe(api: Any, user: Any, resources: Any) -> None:
    await resources.users.forget(user.user_id)
    answer = await user("POST", "/v1/subscriptions", {"packageId": (await api.new_package()).json()["id"]})
    assert_problem(answer, 403, "forbidden")
    assert (await user.entitlements())["revision"] == 0


async def test_a_user_holds_no_more_subscriptions_than_an_event_can_carry(
    api: Any, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from subscription.services import subscriptions

    monkeypatch.setattr(subscriptions, "MAX_ACTIVE_SUBSCRIPTIONS", 2)
    for _ in range(2):
        await user.subscribe((await api.new_package()).json()["id"])
    answer = await user("POST", "/v1/subscriptions", {"packageId": (await api.new_package()).json()["id"]})
    assert_problem(answer, 409, "subscription-limit-reached")
    assert len((await user.entitlements())["grants"]) == 2


async def test_lists_show_ones_own_and_to_administrators_everybodys(api: Any, user: Any, admin: Any) -> None:
    package = (await api.new_package()).json()
    mine = [await user.subscribe((await api.new_package()).json()["id"]) for _ in range(2)]
    mine.append(await user.subscribe(package["id"]))
    other = api.user()
    theirs = await other.subscribe(package["id"])

    async def ids(caller: Any, query: str) -> list[str]:
        answer = await caller("GET", f"/v1/subscriptions?{query}")
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-total-count"] == str(len(answer.json()["data"]))
        return [item["id"] for item in answer.json()["data"]]

    newest_first = [one["id"] for one in reversed(mine)]
    assert await ids(user, "") == newest_first
    assert await ids(user, "sort=createdAt") == newest_first[::-1]
    assert await ids(user, f"userId={user.user_id}") == newest_first
    assert await ids(user, f"packageId={package['id']}") == [mine[2]["id"]]
    assert await ids(admin, f"userId={user.user_id}") == newest_first
    assert await ids(admin, f"packageId={package['id']}&sort=-createdAt") == [theirs["id"], mine[2]["id"]]
    assert await ids(admin, f"packageId={package['id']}&sort=createdAt") == [mine[2]["id"], theirs["id"]]
    assert await ids(admin, f"packageId={package['id']}&userId={other.user_id}&status=active") == [theirs["id"]]
    assert await ids(api.user(), "") == []
    answer = await user("GET", f"/v1/subscriptions?userId={other.user_id}")
    assert_problem(answer, 403, "forbidden")


async def test_what_never_expires_counts_as_expiring_last(api: Any, user: Any) -> None:
    made = {}
    for name, expiry in (("never", None), ("late", in_future(days=9)), ("soon", in_future(days=1))):
        package = (await api.new_package()).json()
        made[name] = (await user.subscribe(package["id"], expiresAt=expiry))["id"]
    for sort, expected in (("expiresAt", ["soon", "late", "never"]), ("-expiresAt", ["never", "late", "soon"])):
        listed = (await user("GET", f"/v1/subscriptions?sort={sort}")).json()["data"]
        assert [item["id"] for item in listed] == [made[name] for name in expected]


async def test_administrators_pages_cover_everything_once_with_exact_totals(api: Any, admin: Any, sql: Any) -> None:
    package = (await api.new_package()).json()
    for _ in range(3):
        one = await api.user().subscribe(package["id"])
        await admin("DELETE", f"/v1/subscriptions/{one['id']}")
        await api.user().subscribe(package["id"])
    for query, where in (("", "TRUE"), ("&status=cancelled", "status = 'cancelled'")):
        for sort in ("createdAt", "-createdAt", "expiresAt", "-expiresAt"):
            column = {"createdAt": "created_at", "expiresAt": "ends_at"}[sort.strip("-")]
            order = f"{column} {'DESC' if sort[0] == '-' else 'ASC'}, id"
            rows = await sql(f"SELECT LOWER(HEX(id)) AS id FROM subscriptions WHERE {where} ORDER BY {order}")  # noqa: S608
            size = min(len(rows) // 12 + 1, 100)
            found: list[str] = []
            number = 1
            while True:
                answer = await admin("GET", f"/v1/subscriptions?sort={sort}&pageSize={size}&pageNumber={number}{query}")
                found += [item["id"].replace("-", "") for item in answer.json()["data"]]
                assert answer.headers["x-total-count"] == str(len(rows))
                if answer.json()["pagination"]["lastPage"]:
                    break
                number += 1
            assert found == [row.id for row in rows]


@pytest.mark.parametrize("query", ["status=ended", "packageId=7", "userId=me", "sort=id", "name=x"])
async def test_a_query_that_makes_no_sense_is_refused(user: Any, query: str) -> None:
    document: Any = assert_problem(await user("GET", f"/v1/subscriptions?{query}"), 422, "invalid-request")
    assert [error["pointer"] for error in document["errors"]] == [query.split("=", maxsplit=1)[0]]


async def test_what_an_administrator_does_to_somebody_elses_subscription_is_on_record(
    api: Any, user: Any, admin: Any, sql: Any
) -> None:
    package = (await api.new_package()).json()
    for caller, expected in ((user, 0), (admin, 1)):
        subscription = await user.subscribe(package["id"])
        await caller("DELETE", f"/v1/subscriptions/{subscription['id']}")
        rows = await sql(
            "SELECT action FROM audit_entries WHERE subject_id = UNHEX(:id)", id=subscription["id"].replace("-", "")
        )
        assert [row.action for row in rows] == ["subscription.cancelled"] * expected
