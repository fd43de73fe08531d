"""Moving existing subscribers to a newer version, and what an edit would do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.clock import to_rfc3339
from chassis.testing.http import assert_problem
from subscription.services import moves
from subscription.services.packages import PackageService


async def preview(api: Any, package_id: str, body: dict[str, Any]) -> dict[str, Any]:
    admin = api.admin()
    before = await admin("GET", f"/v1/packages/{package_id}")
    answer = await admin("PATCH", f"/v1/packages/{package_id}?dryRun=true", body, if_match=before.headers["etag"])
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == before.headers["etag"]
    after = await admin("GET", f"/v1/packages/{package_id}")
    assert (after.json(), after.headers["etag"]) == (before.json(), before.headers["etag"])
    shown: dict[str, Any] = answer.json()
    return shown


async def test_a_preview_says_what_would_change_and_changes_nothing(api: Any, clock: Any, events: Any) -> None:
    package = (await api.new_package(28, 35)).json()
    users = [api.user() for _ in range(3)]
    for user in users:
        await user.subscribe(package["id"])
    gone = await users[0]("GET", "/v1/subscriptions")
    await users[0]("DELETE", f"/v1/subscriptions/{gone.json()['data'][0]['id']}")
    soon = to_rfc3339(datetime.now(UTC) + timedelta(hours=1))
    await api.user().subscribe(package["id"], expiresAt=soon)
    clock.ahead = timedelta(hours=2)

    change = {"genreIds": [35, 18, 27]}
    added, removed = [{"id": 18, "name": "Drama"}, {"id": 27, "name": "Horror"}], [{"id": 28, "name": "Action"}]
    expected = {"version": 2, "genresAdded": added, "genresRemoved": removed}
    assert await preview(api, package["id"], change) == {**expected, "subscribersMoved": 0, "subscribersKept": 2}
    moving = {**change, "applyToSubscribers": True}
    assert await preview(api, package["id"], moving) == {**expected, "subscribersMoved": 2, "subscribersKept": 0}
    nothing = {"version": 1, "genresAdded": [], "genresRemoved": []}
    assert await preview(api, package["id"], {}) == {**nothing, "subscribersMoved": 0, "subscribersKept": 2}

    await api.edit(package["id"], change)
    await api.user().subscribe(package["id"])
    apply = {"applyToSubscribers": True}
    assert await preview(api, package["id"], apply) == {
        **nothing, "version": 2, "subscribersMoved": 2, "subscribersKept": 1
    }  # fmt: skip
    assert len(await events.of_user(users[1].user_id)) == 1


async def test_a_preview_is_refused_as_the_edit_would_be(api: Any, admin: Any) -> None:
    taken = (await api.new_package()).json()
    made = await api.new_package()
    path = f"{made.headers['location']}?dryRun=true"
    etag = made.headers["etag"]
    assert_problem(await admin("PATCH", path, {}), 428, "precondition-required")
    assert_problem(await admin("PATCH", path, {}, if_match='"stale"'), 412, "precondition-failed")
    assert_problem(await admin("PATCH", path, {"name": taken["name"]}, if_match=etag), 409, "package-name-taken")
    assert_problem(await admin("PATCH", path, {"genreIds": [4711]}, if_match=etag), 422, "unknown-genre")
    assert_problem(await admin("PATCH", path.replace("true", "yes"), {}, if_match=etag), 422, "invalid-request")
    assert_problem(await api.user()("PATCH", path, {}, if_match=etag), 403, "forbidden")
    await api.archive(made.json()["id"])
    assert_problem(await admin("PATCH", path, {}, if_match="*"), 409, "package-archived")


async def test_subscribers_keep_their_version_unless_the_edit_says_otherwise(api: Any, user: Any, events: Any) -> None:
    package = (await api.new_package(28)).json()
    await user.subscribe(package["id"])
    await api.edit(package["id"], {"genreIds": [35]})
    assert await user.genre_ids() == [28]
    moved = await api.edit(package["id"], {"genreIds": [18], "applyToSubscribers": True})
    assert moved.json()["version"] == 3
    assert await user.genre_ids() == [18]
    subscription = (await user("GET", "/v1/subscriptions")).json()["data"][0]
    assert (subscription["packageVersion"], subscription["status"]) == (3, "active")
    assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]


async def test_applying_alone_moves_those_on_older_versions_and_makes_none(
    api: Any, user: Any, events: Any, sql: Any
) -> None:
    package = (await api.new_package(28)).json()
    others = [api.user(), api.user()]
    for caller, genre_ids in ((user, [35]), (others[0], [18]), (others[1], None)):
        await caller.subscribe(package["id"])
        if genre_ids:
            await api.edit(package["id"], {"genreIds": genre_ids})
    answer = await api.edit(package["id"], {"applyToSubscribers": True})
    assert answer.json()["version"] == 3
    for caller, revisions in ((user, [1, 2]), (others[0], [1, 2]), (others[1], [1])):
        assert await caller.genre_ids() == [18]
        assert [event["revision"] for event in await events.of_user(caller.user_id)] == revisions
    assert (await api.edit(package["id"], {"applyToSubscribers": True})).json() == answer.json()
    rows = await sql(
        "SELECT from_version, to_version, moved, finished_at IS NOT NULL AS finished, requested_by"
        " FROM subscriber_moves WHERE package_id = UNHEX(:id)",
        id=package["id"].replace("-", ""),
    )
    assert [(row.from_version, row.to_version, row.moved, row.finished) for row in rows] == [(1, 3, 2, 1)]


async def test_what_has_ended_is_not_moved(api: Any, user: Any, clock: Any, events: Any) -> None:
    package = (await api.new_package(28)).json()
    cancelled = await user.subscribe(package["id"])
    await user("DELETE", f"/v1/subscriptions/{cancelled['id']}")
    other = api.user()
    expired = await other.subscribe(package["id"], expiresAt=to_rfc3339(datetime.now(UTC) + timedelta(hours=1)))
    staying = api.user()
    await staying.subscribe(package["id"])
    clock.ahead = timedelta(hours=2)
    await api.edit(package["id"], {"genreIds": [18], "applyToSubscribers": True})
    for caller, subscription in ((user, cancelled), (other, expired)):
        read = (await caller("GET", f"/v1/subscriptions/{subscription['id']}")).json()
        assert (read["packageVersion"], read["genres"]) == (1, [{"id": 28, "name": "Action"}])
    assert len(await events.of_user(other.user_id)) == 1
    assert await staying.genre_ids() == [18]


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moves, "BATCH", 3)


@pytest.mark.usefixtures("_small_batches")
async def test_a_worker_finishes_what_a_request_has_left(  # noqa: PLR0913 - fixtures
    api: Any, resources: Any, monkeypatch: pytest.MonkeyPatch, clock: Any, events: Any, sql: Any
) -> None:
    package = (await api.new_package(28)).json()
    users = [api.user() for _ in range(10)]
    for user in users:
        await user.subscribe(package["id"])

    async def killed(self: PackageService, move_id: Any) -> None:
        await resources.moves.carry_out(move_id, budget_seconds=0)

    with monkeypatch.context() as patched:
        patched.setattr(PackageService, "_move_subscribers", killed)
        answer = await api.edit(package["id"], {"genreIds": [18], "applyToSubscribers": True})
    assert answer.json()["version"] == 2
    assert sorted([await user.genre_ids() for user in users]) == [[18]] * 3 + [[28]] * 7

    # An edit that leaves subscribers alone comes in between: the move goes to where it was meant to go.
    await api.edit(package["id"], {"genreIds": [35]})
    late = api.user()
    await late.subscribe(package["id"])
    assert await resources.moves.resume_stalled() == 0
    clock.ahead = timedelta(seconds=10)
    assert await resources.moves.resume_stalled() == 1
    assert [await user.genre_ids() for user in users] == [[18]] * 10
    assert await late.genre_ids() == [35]
    for user in users:
        assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]
    (move,) = await sql(
        "SELECT moved, finished_at IS NOT NULL AS finished FROM subscriber_moves WHERE package_id = UNHEX(:id)",
        id=package["id"].replace("-", ""),
    )
    assert (move.moved, move.finished) == (10, 1)


@pytest.mark.usefixtures("_small_batches")
async def test_an_edit_answers_in_time_and_leaves_the_rest_to_the_worker(
    api: Any, resources: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    package = (await api.new_package(28)).json()
    users = [api.user() for _ in range(7)]
    for user in users:
        await user.subscribe(package["id"])
    with monkeypatch.context() as patched:
        patched.setattr(resources.packages, "_move_budget_seconds", 0.0)
        assert (await api.edit(package["id"], {"genreIds": [18], "applyToSubscribers": True})).status_code == 200
    clock.ahead = timedelta(seconds=10)
    assert await resources.moves.resume_stalled() == 1
    assert [await user.genre_ids() for user in users] == [[18]] * 7
