"""Fifty at once: exactly one wins where one may, everybody is answered, and what is stored adds up."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.clock import to_rfc3339, utc_now
from chassis.ids import new_id
from chassis.testing.http import assert_problem
from subscription.storage.packages import PackageRepository

MANY = 50


async def at_once(*requests: Awaitable[httpx.Response]) -> tuple[Counter[int], list[httpx.Response]]:
    answers = await asyncio.gather(*requests)
    return Counter(answer.status_code for answer in answers), answers


def consecutive(revisions: list[int]) -> bool:
    return revisions == list(range(1, len(revisions) + 1))


async def test_edits_with_one_tag_have_one_winner_and_leave_no_gap(api: Any, admin: Any) -> None:
    made = await api.new_package()
    path, etag = made.headers["location"], made.headers["etag"]
    statuses, answers = await at_once(
        *(admin("PATCH", path, {"description": f"edit {n}"}, if_match=etag) for n in range(MANY))
    )
    assert statuses == {200: 1, 412: MANY - 1}
    for answer in answers:
        if answer.status_code == 412:
            assert_problem(answer, 412, "precondition-failed")
    assert [one["version"] for one in (await admin("GET", f"{path}/versions")).json()["data"]] == [2, 1]


async def test_edits_without_a_condition_all_count_and_leave_no_gap(api: Any, admin: Any) -> None:
    path = (await api.new_package()).headers["location"]
    statuses, answers = await at_once(
        *(admin("PATCH", path, {"description": f"edit {n}"}, if_match="*") for n in range(MANY))
    )
    assert statuses == {200: MANY}
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, MANY + 2))
    assert (await admin("GET", f"{path}/versions")).headers["x-total-count"] == str(MANY + 1)


async def test_one_of_many_subscribes(api: Any, user: Any, events: Any) -> None:
    package = (await api.new_package()).json()
    statuses, _ = await at_once(*(user("POST", "/v1/subscriptions", {"packageId": package["id"]}) for _ in range(MANY)))
    assert statuses == {201: 1, 409: MANY - 1}
    assert (await user("GET", "/v1/subscriptions")).headers["x-total-count"] == "1"
    assert consecutive([event["revision"] for event in await events.of_user(user.user_id)])


async def test_one_of_many_takes_a_name(admin: Any) -> None:
    stem = str(new_id())
    spellings = [f"café {stem}", f"CAFÉ {stem}", f" Cafe {stem} "]
    statuses, answers = await at_once(
        *(admin("POST", "/v1/packages", {"name": spellings[n % 3], "genreIds": [28]}) for n in range(MANY))
    )
    assert statuses == {201: 1, 409: MANY - 1}
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "package-name-taken")


async def test_many_subscribe_to_one_package(api: Any, admin: Any, sql: Any) -> None:
    package = (await api.new_package()).json()
    users = [api.user() for _ in range(MANY)]
    statuses, _ = await at_once(*(user("POST", "/v1/subscriptions", {"packageId": package["id"]}) for user in users))
    assert statuses == {201: MANY}
    await totals_are_right(admin, sql)


async def test_cancelling_at_once_ends_it_once(api: Any, user: Any, events: Any, admin: Any, sql: Any) -> None:
    subscription = await user.subscribe((await api.new_package()).json()["id"])
    path = f"/v1/subscriptions/{subscription['id']}"
    statuses, _ = await at_once(*(user("DELETE", path) for _ in range(MANY)))
    assert statuses == {204: MANY}
    assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]
    await totals_are_right(admin, sql)


async def test_a_user_who_does_everything_at_once(api: Any, user: Any, admin: Any, events: Any, sql: Any) -> None:
    packages = [(await api.new_package(28, 35)).json()["id"] for _ in range(4)]
    held = [await user.subscribe(package) for package in packages[:2]]
    new = [{"packageId": package} for package in packages[2:]]
    bulk = {"userIds": [str(user.user_id), str(new_id())]}
    requests = []
    for n in range(10):
        requests += [
            user("POST", "/v1/subscriptions", new[n % 2]),
            user("POST", f"/v1/subscriptions/{held[n % 2]['id']}/upgrade"),
            admin("POST", f"/v1/packages/{packages[2 + n % 2]}/subscriptions", bulk),
            admin("PATCH", f"/v1/packages/{packages[n % 4]}", {
                "description": str(n), "applyToSubscribers": True
            }, if_match="*"),
        ]  # fmt: skip
    statuses, answers = await at_once(*requests, user("DELETE", f"/v1/subscriptions/{held[0]['id']}"))
    assert set(statuses) <= {200, 201, 204, 409}, [a.text for a in answers if a.status_code >= 500]
    found = await events.of_user(user.user_id)
    assert consecutive([event["revision"] for event in found])
    now = await user.entitlements()
    assert now["revision"] == found[-1]["revision"]
    assert [grant["subscriptionId"] for grant in now["grants"]] == [
        grant["subscriptionId"] for grant in found[-1]["grants"]
    ]
    listed = (await user("GET", "/v1/subscriptions?status=active")).json()["data"]
    assert sorted(one["package"]["id"] for one in listed) == sorted(packages[1:])
    await totals_are_right(admin, sql)


async def test_two_bulk_requests_over_the_same_users_subscribe_each_once(api: Any, admin: Any, events: Any) -> None:
    packages = [(await api.new_package()).json()["id"] for _ in range(2)]
    users = [new_id() for _ in range(60)]
    orders = [users, users[::-1]]
    statuses, answers = await at_once(
        *(
            admin("POST", f"/v1/packages/{packages[n % 2]}/subscriptions", {"userIds": orders[n // 2 % 2]})
            for n in range(12)
        )
    )
    assert statuses == {200: 12}
    assert sum(answer.json()["created"] for answer in answers) == 2 * len(users)
    for user_id in users:
        assert [event["revision"] for event in await events.of_user(user_id)] == [1, 2]


async def test_archiving_while_many_subscribe_leaves_nobody_in_between(api: Any, admin: Any) -> None:
    made = await api.new_package()
    users = [api.user() for _ in range(20)]
    body = {"packageId": made.json()["id"]}
    statuses, _ = await at_once(
        *(user("POST", "/v1/subscriptions", body) for user in users[:10]),
        admin("DELETE", made.headers["location"], if_match=made.headers["etag"]),
        *(user("POST", "/v1/subscriptions", body) for user in users[10:]),
    )
    assert set(statuses) <= {201, 204, 409}
    active = (await admin("GET", f"/v1/subscriptions?packageId={made.json()['id']}")).headers["x-total-count"]
    assert int(active) == statuses[201]


@pytest.mark.parametrize("change", ["archive", "edit"])
async def test_a_package_does_not_change_under_a_subscription_being_made(
    api: Any, admin: Any, resources: Any, change: str
) -> None:
    made = await api.new_package()
    path = made.headers["location"]

    async def subscribing(session: AsyncSession) -> asyncio.Task[httpx.Response]:
        await PackageRepository(session).find_for_subscription(uuid.UUID(made.json()["id"]))
        method, body = ("DELETE", None) if change == "archive" else ("PATCH", {"description": "new"})
        changing = asyncio.create_task(admin(method, path, body, if_match="*"))
        # The change has had all the time it needs, and waits.
        await asyncio.wait([changing], timeout=0.3)
        assert not changing.done()
        return changing

    answer = await (await resources.database.transaction(subscribing))
    assert answer.status_code == (204 if change == "archive" else 200)


async def test_deleting_a_user_while_subscribing_leaves_nothing(
    api: Any, user: Any, resources: Any, sql: Any, admin: Any
) -> None:
    package = (await api.new_package()).json()["id"]
    await user.subscribe(package)
    others = [(await api.new_package()).json()["id"] for _ in range(10)]
    requests = [user("POST", "/v1/subscriptions", {"packageId": other}) for other in others]
    results = await asyncio.gather(*requests[:5], resources.users.forget(user.user_id), *requests[5:])
    assert {answer.status_code for answer in results if answer is not None} <= {201, 403}
    rows = await sql("SELECT COUNT(*) AS n FROM subscriptions WHERE user_id = :id", id=user.user_id.bytes)
    assert rows[0].n == 0
    assert await user.genre_ids() == []
    await totals_are_right(admin, sql)


async def test_replicas_that_mark_at_once_mark_each_once(
    api: Any, admin: Any, resources: Any, clock: Any, sql: Any
) -> None:
    package = (await api.new_package()).json()["id"]
    body = {"userIds": [new_id() for _ in range(40)], "expiresAt": to_rfc3339(utc_now() + timedelta(hours=1))}
    await admin("POST", f"/v1/packages/{package}/subscriptions", body)
    clock.ahead = timedelta(hours=2)
    while sum(await asyncio.gather(*(resources.subscriptions.mark_expired(7) for _ in range(5)))):
        pass
    listed = await admin("GET", f"/v1/subscriptions?packageId={package}&status=expired")
    assert listed.headers["x-total-count"] == "40"
    await totals_are_right(admin, sql)


async def totals_are_right(admin: Any, sql: Any) -> None:
    """The totals kept with every change are those of the rows."""
    rows = {row.status: row.n for row in await sql("SELECT status, COUNT(*) AS n FROM subscriptions GROUP BY status")}
    for query, expected in (
        ("", sum(rows.values())),
        ("?status=cancelled", rows.get("cancelled", 0)),
    ):
        answer = await admin("GET", f"/v1/subscriptions{query}")
        assert answer.headers["x-total-count"] == str(expected)
