"""What operators do with events: the outbox, parked messages, and telling again what users may see."""

import uuid
from functools import partial
from typing import Any

import pytest

from chassis.events.publisher import Publisher
from chassis.events.topology import load_topology
from chassis.testing.commands import run_events_command
from subscription.__main__ import main
from subscription.services import announcement
from subscription.services.announcement import Announcement
from subscription.services.entitlements import EntitlementAnnouncer
from subscription.storage.tables import outbox


@pytest.fixture
def run(settings: Any, broker_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `python -m subscription events …`."""
    environment = {
        "SUBSCRIPTION_DATABASE_URL": settings.database_url.get_secret_value(),
        "SUBSCRIPTION_BROKER_URL": broker_url,
        "SUBSCRIPTION_INTERNAL_TOKEN": settings.internal_token.get_secret_value(),
        "SUBSCRIPTION_JWKS_URLS": settings.jwks_urls[0],
        "SUBSCRIPTION_IDENTITY_URLS": settings.identity_urls[0],
        "SUBSCRIPTION_CATALOG_URLS": settings.catalog_urls[0],
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return partial(run_events_command, main)


@pytest.fixture
async def announcing(resources: Any, clock: Any, sql: Any) -> Announcement:
    """With nobody but the test's own users."""
    await sql("DELETE FROM outbox_events")
    await sql("DELETE FROM subscriptions")
    await sql("DELETE FROM row_totals WHERE name LIKE 'subscriptions.%'")
    await sql("DELETE FROM entitlements_revisions")
    return Announcement(resources.database, clock, EntitlementAnnouncer(outbox))


async def subscribed(api: Any, number: int) -> list[Any]:
    """Users with a subscription each, by id."""
    package = (await api.new_package(28)).json()
    users = sorted((api.user() for _ in range(number)), key=lambda one: one.user_id)
    for user in users:
        await user.subscribe(package["id"])
    return users


async def test_one_user_is_told_again_as_a_new_revision(
    run: Any, announcing: Announcement, api: Any, events: Any
) -> None:
    user, other = await subscribed(api, 2)

    status, shown, _ = await run("reconcile", "--user", str(user.user_id), "--dry-run")
    assert (status, shown["data"]["revision"], shown["announced"]) == (0, 1, False)
    status, shown, _ = await run("reconcile", "--user", str(user.user_id))
    assert (status, shown["data"]["revision"], shown["announced"]) == (0, 2, True)

    first, again = await events.of_user(user.user_id)
    assert again == {**first, "revision": 2}
    assert (await user.entitlements())["revision"] == 2
    assert len(await events.of_user(other.user_id)) == 1
    assert (await run("outbox"))[1]["waiting"] == 3


async def test_of_somebody_unknown_nothing_is_told(announcing: Announcement, sql: Any) -> None:
    assert await announcing.announce_user(uuid.uuid4()) is None
    assert (await sql("SELECT COUNT(*) AS n FROM entitlements_revisions"))[0].n == 0
    assert (await sql("SELECT COUNT(*) AS n FROM outbox_events"))[0].n == 0


async def test_everybody_is_told_again_from_where_an_earlier_run_stopped(  # noqa: PLR0913 - fixtures
    run: Any, announcing: Announcement, api: Any, events: Any, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcement, "_BATCH", 2)
    users = await subscribed(api, 5)
    assert [count async for _, count in announcing.announce_all(dry_run=True)] == [2, 2, 1]
    assert (await sql("SELECT COUNT(*) AS n FROM outbox_events"))[0].n == 5
    async for last, _ in announcing.announce_all():
        assert last == users[1].user_id
        break

    status, shown, errors = await run("rebuild", "--after", str(last))

    assert (status, shown["announced"]) == (0, 3)
    assert f"done up to {users[-1].user_id}\n" in errors
    for user in users:
        assert [event["revision"] for event in await events.of_user(user.user_id)] == [1, 2]


async def test_parked_messages_are_listed_by_queue_and_replayed(run: Any, broker_url: str) -> None:
    topology = load_topology()
    publisher = Publisher(broker_url, "test-park", topology)
    parked = topology.queue("subscription.genres.v1").parked_queue
    await publisher.publish("", parked, b"{}", message_id="one", headers={})
    await publisher.aclose()

    assert (await run("list", "--queue", "subscription.users.v1"))[1] == []
    assert [m["id"] for m in (await run("replay", "--queue", "subscription.genres.v1"))[1]] == ["one"]
    assert (await run("list", "--queue", "subscription.genres.v1"))[1] == []
