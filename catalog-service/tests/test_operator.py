"""What operators do with events: the outbox, one user, whole projections, parked messages; on the real servers."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from catalog.__main__ import main
from catalog.domain.entitlements import Grant, Statement
from catalog.domain.genres import GenreChanges
from catalog.services.healing import EntitlementHealing
from chassis.deadlines import stop
from chassis.events.envelope import decode
from chassis.events.publisher import Publisher
from chassis.events.topology import load_topology
from chassis.testing.commands import run_events_command

Run = Callable[..., Awaitable[tuple[int, Any, str]]]


@pytest.fixture
def run(settings: Any, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `python -m catalog events …`: exit status, the JSON it printed, and what else it said."""
    environment = {
        "CATALOG_DATABASE_URL": settings.database_url.get_secret_value(),
        "CATALOG_BROKER_URL": broker_url,
        "CATALOG_INTERNAL_TOKEN": settings.internal_token.get_secret_value(),
        "CATALOG_JWKS_URLS": settings.jwks_urls[0],
        "CATALOG_SUBSCRIPTION_URLS": settings.subscription_urls[0],
        "TMDB_TOKEN": "test",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return partial(run_events_command, main)


@pytest.fixture
async def healing(resources: Any) -> EntitlementHealing:
    return EntitlementHealing(resources.entitlements, resources.subscriptions)


async def genres_of(resources: Any, user: uuid.UUID) -> set[int] | None:
    held = await resources.entitlements.find(user)
    return None if held is None else set(held.genres_at(resources.clock()))


async def test_one_user_is_compared_and_repaired(run: Run, resources: Any, subscriptions: Any, statement: Any) -> None:
    user, other = uuid.uuid4(), uuid.uuid4()
    for one in (user, other):
        subscriptions.grant(one, 28)
        subscriptions.grant(one, 28, 35)
        await resources.entitlements.apply(statement(one, 1, 28))

    status, told, _ = await run("reconcile", "--user", str(user), "--dry-run")
    assert (status, told["differed"], told["repaired"]) == (0, True, False)
    assert (told["held"]["revision"], told["source"]["revision"]) == (1, 2)
    assert await genres_of(resources, user) == {28}

    status, told, _ = await run("reconcile", "--user", str(user))
    assert (status, told["repaired"]) == (0, True)
    assert await genres_of(resources, user) == {28, 35}
    assert await genres_of(resources, other) == {28}, "one user means one"
    assert not (await run("reconcile", "--user", str(user)))[1]["differed"]


async def test_somebody_whom_the_source_does_not_know_is_forgotten(
    healing: Any, resources: Any, subscriptions: Any, statement: Any
) -> None:
    user = uuid.UUID(int=uuid.uuid4().int | 1)
    await resources.entitlements.apply(statement(user, 3, 28))
    # The next id of the same bucket is somebody else's answer.
    for neighbour in (uuid.UUID(int=user.int + n) for n in range(2, 1000)):
        subscriptions.grant(neighbour, 35)

    held, found, differed = await healing.reconcile(user)

    assert (held.revision, found, differed) == (3, None, True)
    assert await genres_of(resources, user) is None


async def test_without_the_source_a_command_fails_and_changes_nothing(
    run: Run, resources: Any, subscriptions: Any, statement: Any
) -> None:
    user = uuid.uuid4()
    await resources.entitlements.apply(statement(user, 3, 28))
    subscriptions.is_down = True
    status, told, errors = await run("rebuild")
    assert (status, told) == (1, None)
    assert "failed" in errors
    assert await genres_of(resources, user) == {28}


async def test_a_projection_is_rebuilt_whatever_it_holds(
    run: Run, healing: Any, resources: Any, subscriptions: Any, statement: Any
) -> None:
    missing, wrong, ahead, unknown, right = (uuid.uuid4() for _ in range(5))
    for user in (missing, wrong, ahead, right):
        subscriptions.grant(user, 28)
    await resources.entitlements.apply(statement(wrong, 1, 18))
    await resources.entitlements.apply(statement(ahead, 9, 18))
    await resources.entitlements.apply(statement(unknown, 2, 18))
    await resources.entitlements.apply(statement(right, 1, 28))

    assert (await run("rebuild", "--dry-run"))[1] == {"projection": "entitlements", "differed": 4, "repaired": 0}
    assert await genres_of(resources, missing) is None

    assert (await run("rebuild"))[1] == {"projection": "entitlements", "differed": 4, "repaired": 4}
    assert [await genres_of(resources, user) for user in (missing, wrong, ahead, right)] == [{28}] * 4
    assert await genres_of(resources, unknown) is None
    assert await healing.sweep() == 0


async def test_a_rebuild_that_was_stopped_goes_on_behind_the_point_that_it_named(
    run: Run, healing: Any, resources: Any, subscriptions: Any
) -> None:
    for _ in range(300):
        subscriptions.grant(uuid.uuid4(), 28)
    begun = healing.rebuild()
    repaired = 0
    async for bucket, count in begun:
        repaired += count
        if bucket == 100:
            break
    await begun.aclose()
    assert 0 < repaired < 300

    status, told, errors = await run("rebuild", "--after", "100")

    assert (status, repaired + told["repaired"]) == (0, 300)
    assert "done up to 101\n" in errors
    assert "done up to 100\n" not in errors
    assert await healing.sweep() == 0


@asynccontextmanager
async def watched(resources: Any) -> AsyncIterator[list[int]]:
    """Looks at the projection again and again; revisions that went back."""
    went_back: list[int] = []
    seen: dict[str, int] = {}

    async def watch() -> None:
        while True:
            async for row in resources.mongo.database["entitlements"].find({}, {"revision": 1}):
                if row["revision"] < seen.get(row["_id"], 0):
                    went_back.append(row["revision"])
                seen[row["_id"]] = row["revision"]

    task = asyncio.create_task(watch())
    try:
        yield went_back
    finally:
        await stop(task)
    assert seen


async def test_a_rebuild_is_safe_beside_consumers_and_other_rebuilds(
    resources: Any, subscriptions: Any, statement: Any
) -> None:
    users = [uuid.uuid4() for _ in range(40)]
    for user in users:
        subscriptions.grant(user, 28)
        await resources.entitlements.apply(statement(user, 1, 18))

    async def change() -> None:
        for _ in range(4):
            for user in users:
                subscriptions.grant(user, 28, 35)
                await resources.entitlements.apply(statement(user, subscriptions.revisions[user], 28, 35))

    async def rebuild() -> None:
        async for _ in EntitlementHealing(resources.entitlements, resources.subscriptions).rebuild():
            pass

    async with watched(resources) as went_back:
        await asyncio.gather(change(), rebuild(), rebuild())
    assert not went_back
    assert [await genres_of(resources, user) for user in users] == [{28, 35}] * len(users)


async def test_what_expired_or_is_finer_than_is_stored_is_no_difference(
    healing: Any, resources: Any, subscriptions: Any
) -> None:
    user = uuid.uuid4()
    soon = datetime.now(UTC).replace(microsecond=123456) + timedelta(hours=1)
    subscriptions.set(user, [((35,), soon)])
    past = datetime.now(UTC) - timedelta(hours=1)
    grants = (Grant(frozenset({35}), soon), Grant(frozenset({28}), past))
    await resources.entitlements.apply(Statement(user, 1, grants, datetime.now(UTC)))

    assert not (await healing.reconcile(user))[2]


async def test_genres_are_announced_anew_to_whoever_holds_them(run: Run, resources: Any) -> None:
    await resources.genres.apply(GenreChanges(added={28: "Action", 35: "Comedy"}), datetime.now(UTC), 0)
    await resources.genres.apply(GenreChanges(retired={35: "Comedy"}), datetime.now(UTC), 0)
    for event in await resources.genres.waiting_events():
        await resources.genres.forget_event(event)
    before = await resources.genres.all()

    assert (await run("rebuild", "--projection", "genres", "--dry-run"))[1]["announced"] == 0
    assert (await run("outbox"))[1] == {"waiting": 0, "oldest": None}
    assert (await run("rebuild", "--projection", "genres"))[1]["announced"] == 2

    told = [decode(event.body).data for event in await resources.genres.waiting_events()]
    assert told == [
        {"genreId": 28, "revision": 2, "name": "Action", "status": "active"},
        {"genreId": 35, "revision": 3, "name": "Comedy", "status": "retired"},
    ]
    after = await resources.genres.all()
    assert {genre.id: genre.updated_at for genre in after.values()} == {g.id: g.updated_at for g in before.values()}
    outbox = (await run("outbox"))[1]
    assert outbox["waiting"] == 2
    assert outbox["oldest"]


async def test_parked_messages_are_listed_shown_and_replayed(run: Run, broker_url: str) -> None:
    queue = load_topology().queue("catalog.entitlements.v1")
    publisher = Publisher(broker_url, "test-park", load_topology())
    try:
        for name in ("first", "second"):
            await publisher.publish("", queue.parked_queue, b"{}", message_id=name, headers={"x-error": "no"})
    finally:
        await publisher.aclose()

    assert [message["id"] for message in (await run("list"))[1]] == ["first", "second"]
    assert (await run("show", "--id", "second"))[1]["body"] == "{}"
    assert len((await run("replay", "--dry-run"))[1]) == 2
    assert [message["id"] for message in (await run("replay", "--limit", "1"))[1]] == ["first"]
    assert [message["id"] for message in (await run("replay"))[1]] == ["second"]
    assert (await run("list"))[1] == []
    assert (await run("show", "--id", "second"))[0] == 1
