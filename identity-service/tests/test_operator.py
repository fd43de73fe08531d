"""What operators do with events: the outbox, and telling again what this service knows of its users."""

import uuid
from functools import partial
from typing import Any

import pytest

from chassis.testing.commands import run_events_command
from identity.__main__ import main
from identity.services import announcement
from identity.services.announcement import Announcement
from identity.storage.tables import outbox


@pytest.fixture
def run(make_settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `python -m identity events …`."""
    settings = make_settings()
    environment = {
        "IDENTITY_DATABASE_URL": settings.database_url.get_secret_value(),
        "IDENTITY_BROKER_URL": settings.broker_url.get_secret_value(),
        "IDENTITY_INTERNAL_TOKEN": settings.internal_token.get_secret_value(),
        "IDENTITY_PASSWORD_PEPPER": settings.password_pepper.get_secret_value(),
        "IDENTITY_KEY_ENCRYPTION_KEY": settings.key_encryption_key.get_secret_value(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return partial(run_events_command, main)


@pytest.fixture
async def announcing(resources: Any, sql: Any) -> Announcement:
    """With an outbox in which nothing waits."""
    await sql("DELETE FROM outbox_events")
    return Announcement(resources.database, outbox)


async def waiting(sql: Any) -> list[tuple[str, str]]:
    rows = await sql("SELECT type, aggregate FROM outbox_events ORDER BY id")
    return [(row["type"], row["aggregate"]) for row in rows]


async def bury(sql: Any, number: int) -> list[uuid.UUID]:
    """Tombstones of users who are gone, the newest last by id."""
    await sql("DELETE FROM deleted_users")
    ids = sorted(uuid.uuid4() for _ in range(number))
    for user_id in ids:
        await sql("INSERT INTO deleted_users (id, revision) VALUES (UNHEX(:id), 3)", id=user_id.hex)
    return ids


async def test_one_user_is_told_again(run: Any, announcing: Announcement, user: Any, sql: Any) -> None:
    (gone,) = await bury(sql, 1)

    status, shown, _ = await run("reconcile", "--user", user.id, "--dry-run")
    assert (status, shown["data"]["userId"], shown["announced"]) == (0, user.id, False)
    assert await waiting(sql) == []
    for _ in range(2):
        assert (await run("reconcile", "--user", user.id))[1]["announced"]
    event = await announcing.announce_user(gone)
    assert event is not None
    assert event.data == {"userId": str(gone), "revision": 3}
    assert await waiting(sql) == [
        ("identity.user.changed.v1", f"user/{user.id}"),
        ("identity.user.deleted.v1", f"user/{gone}"),
    ]
    assert (await run("outbox"))[1]["waiting"] == 2
    assert (await run("reconcile", "--user", str(uuid.uuid4())))[0] == 1


async def test_all_deletions_are_told_again_from_where_an_earlier_run_stopped(
    run: Any, announcing: Announcement, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcement, "_PAGE", 4)
    ids = await bury(sql, 10)
    async for last, count in announcing.announce_deleted():
        assert (last, count) == (ids[3], 4)
        break
    assert len(await waiting(sql)) == 4

    status, shown, errors = await run("rebuild", "--after", str(ids[3]))

    assert (status, shown["announced"]) == (0, 6)
    assert f"done up to {ids[-1]}\n" in errors
    assert await waiting(sql) == [("identity.user.deleted.v1", f"user/{user_id}") for user_id in ids]
    # What waits already is not stored twice, and nothing is lost by that.
    assert [count async for _, count in announcing.announce_deleted()] == [4, 4, 2]
    assert len(await waiting(sql)) == 10


async def test_a_dry_run_tells_nobody(announcing: Announcement, sql: Any) -> None:
    await bury(sql, 3)
    assert [count async for _, count in announcing.announce_deleted(dry_run=True)] == [3]
    assert await waiting(sql) == []
