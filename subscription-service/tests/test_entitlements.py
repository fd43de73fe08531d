"""What a user may see, how others are told, and how their copies are healed."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import select

from chassis.clock import to_rfc3339
from chassis.events.topology import contracts_directory
from chassis.ids import new_id
from chassis.testing.http import assert_problem
from subscription.domain.entitlements import bucket_of
from subscription.storage.tables import outbox


def in_future(**delta: float) -> str:
    return to_rfc3339(datetime.now(UTC) + timedelta(**delta))


async def test_nobody_has_granted_anything_yet(user: Any) -> None:
    assert await user.entitlements() == {
        "userId": str(user.user_id), "genres": [], "revision": 0, "validUntil": None, "grants": []
    }  # fmt: skip


async def test_overlapping_packages_add_up_and_losing_one_keeps_the_other(api: Any, user: Any) -> None:
    first = (await api.new_package(28, 35)).json()
    second = (await api.new_package(35, 18)).json()
    one = await user.subscribe(first["id"])
    two = await user.subscribe(second["id"])
    found = await user.entitlements()
    assert found["genres"] == [
        {"id": 18, "name": "Drama"}, {"id": 28, "name": "Action"}, {"id": 35, "name": "Comedy"}
    ]  # fmt: skip
    assert found["revision"] == 2
    assert found["grants"] == [
        {
            "subscriptionId": subscription["id"],
            "package": {"id": package["id"], "name": package["name"]},
            "packageVersion": 1,
            "genreIds": genre_ids,
            "validUntil": None,
        }
        for subscription, package, genre_ids in ((one, first, [28, 35]), (two, second, [18, 35]))
    ]
    await user("DELETE", f"/v1/subscriptions/{one['id']}")
    assert await user.genre_ids() == [18, 35]


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        # Days until each of two grants ends: of genres 28 and 35, and of genres 35 and 18.
        ((None, None), None),
        ((1, None), 1),
        ((None, 2), 2),
        ((2, 1), 1),
        ((1, 2), 1),
    ],
)
async def test_valid_until_is_when_the_union_first_shrinks(
    api: Any, user: Any, ends: tuple[int | None, int | None], expected: int | None
) -> None:
    moments = {None: None, 1: in_future(days=1), 2: in_future(days=2)}
    for genre_ids, end in zip(((28, 35), (35, 18)), ends, strict=True):
        await user.subscribe((await api.new_package(*genre_ids)).json()["id"], expiresAt=moments[end])
    assert (await user.entitlements())["validUntil"] == moments[expected]


async def test_a_grant_inside_a_longer_one_ends_without_the_union_shrinking(api: Any, user: Any) -> None:
    await user.subscribe((await api.new_package(28, 35)).json()["id"], expiresAt=in_future(days=5))
    await user.subscribe((await api.new_package(28)).json()["id"], expiresAt=(soon := in_future(days=1)))
    found = await user.entitlements()
    assert soon in [grant["validUntil"] for grant in found["grants"]]
    assert found["validUntil"] > soon


async def test_the_tag_changes_with_every_change_and_when_a_grant_expires(api: Any, user: Any, clock: Any) -> None:
    seen: set[str] = set()

    async def changed() -> bool:
        answer = await user("GET", "/v1/entitlements/me", if_none_match=", ".join(seen) or '"none"')
        is_new: bool = answer.status_code == 200
        assert answer.headers["etag"] not in seen if is_new else answer.content == b""
        seen.add(answer.headers["etag"])
        return is_new

    assert await changed()
    assert not await changed()
    package = (await api.new_package(28)).json()
    subscription = await user.subscribe(package["id"])
    assert await changed()
    await api.edit(package["id"], {"genreIds": [18]})
    assert not await changed()
    await user("POST", f"/v1/subscriptions/{subscription['id']}/upgrade")
    assert await changed()
    await user.subscribe((await api.new_package(35)).json()["id"], expiresAt=in_future(hours=1))
    assert await changed()
    clock.ahead = timedelta(hours=2)
    assert await changed()
    assert not await changed()


async def test_every_event_fits_its_contract(api: Any, user: Any, resources: Any) -> None:
    subscription = await user.subscribe((await api.new_package(28, 35)).json()["id"], expiresAt=in_future(days=1))
    await user("DELETE", f"/v1/subscriptions/{subscription['id']}")
    schema = json.loads(
        (contracts_directory() / "events" / "subscription.entitlements.changed.v1.schema.json").read_text()
    )
    statement = select(outbox.events.c.body).where(outbox.events.c.aggregate == f"entitlements/{user.user_id}")
    bodies = await resources.database.read(lambda session: session.scalars(statement))
    documents = [json.loads(body) for body in bodies]
    assert len(documents) == 2
    for document in documents:
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(document)
    grant = documents[0]["data"]["grants"][0]
    assert grant["subscriptionId"] == subscription["id"]
    assert grant["validUntil"] == subscription["expiresAt"]


class Healing:
    """What catalog-service asks to heal its copy."""

    def __init__(self, anonymous: Any, secret: str) -> None:
        self._api = anonymous
        self._headers = {"authorization": f"Bearer {secret}"}

    async def digest(self) -> dict[int, tuple[int, int]]:
        answer = await self._api("GET", "/internal/v1/entitlements/digest", **self._headers)
        assert answer.status_code == 200, answer.text
        return {one["bucket"]: (one["count"], one["sumRevision"]) for one in answer.json()["buckets"]}

    async def bucket(self, bucket: int, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = f"&after={found[-1]['userId']}" if found else ""
            path = f"/internal/v1/entitlements?bucket={bucket}&limit={limit}{after}"
            page = (await self._api("GET", path, **self._headers)).json()["entitlements"]
            found += page
            if len(page) < limit:
                return found


@pytest.fixture
def healing(api: Any, settings: Any) -> Healing:
    return Healing(api, settings.internal_token.get_secret_value())


async def test_digest_and_snapshot_agree_with_each_other_and_with_the_events(
    api: Any, healing: Healing, events: Any, resources: Any
) -> None:
    package = (await api.new_package(28, 35)).json()
    users = [api.user() for _ in range(5)]
    for user in users:
        await user.subscribe(package["id"])
    await api.edit(package["id"], {"genreIds": [18], "applyToSubscribers": True})
    await resources.users.forget(users[0].user_id)
    await resources.users.forget(new_id())
    digest = await healing.digest()
    assert sorted(digest) == list(range(256))
    for user in users:
        found = await healing.bucket(bucket_of(user.user_id), 2)
        assert (len(found), sum(item["revision"] for item in found)) == digest[bucket_of(user.user_id)]
        assert [item["userId"] for item in found] == sorted(item["userId"] for item in found)
        mine = next(item for item in found if item["userId"] == str(user.user_id))
        assert mine == (await events.of_user(user.user_id))[-1]


async def test_a_refused_request_leaves_no_trace_in_the_digest(api: Any, user: Any, healing: Healing) -> None:
    package = (await api.new_package()).json()
    await api.archive(package["id"])
    before = await healing.digest()
    assert_problem(await user("POST", "/v1/subscriptions", {"packageId": package["id"]}), 409, "package-archived")
    assert await healing.digest() == before


@pytest.mark.parametrize("path", ["/internal/v1/entitlements/digest", "/internal/v1/entitlements?bucket=0"])
async def test_only_services_of_the_suite_may_ask(api: Any, user: Any, admin: Any, path: str) -> None:
    for caller in (api, user, admin):
        assert_problem(await caller("GET", path), 401, "unauthenticated")


@pytest.mark.parametrize("query", ["bucket=256", "bucket=-1", "bucket=a", "", "bucket=1&limit=501", "bucket=1&after=x"])
async def test_a_question_that_makes_no_sense_is_refused(api: Any, settings: Any, query: str) -> None:
    secret = settings.internal_token.get_secret_value()
    answer = await api("GET", f"/internal/v1/entitlements?{query}", authorization=f"Bearer {secret}")
    assert_problem(answer, 422, "invalid-request")


async def test_the_bucket_is_that_of_the_lower_case_hyphenated_id(api: Any, user: Any, sql: Any) -> None:
    await user.subscribe((await api.new_package()).json()["id"])
    rows = await sql(
        "SELECT bucket, CRC32(:text) & 255 AS expected FROM entitlements_revisions WHERE user_id = :id",
        text=str(user.user_id),
        id=user.user_id.bytes,
    )
    assert rows[0].bucket == rows[0].expected
