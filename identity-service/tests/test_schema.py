"""The migrations, and what the tables guarantee by themselves."""

from typing import Any

import pytest
from alembic import command
from sqlalchemy.exc import DataError, IntegrityError

from chassis.migrations import alembic_config, downgrade, known_revisions, upgrade
from chassis.testing.servers import mysql_database
from identity.migrations import MIGRATIONS


def test_every_migration_goes_up_down_and_up_again_and_ends_at_the_tables_of_the_code() -> None:
    with mysql_database("stairs") as url:
        _, newest_first = known_revisions(MIGRATIONS)
        for revision in reversed(newest_first):
            upgrade(MIGRATIONS, url, revision)
            downgrade(MIGRATIONS, url, "-1")
            upgrade(MIGRATIONS, url, revision)
        command.check(alembic_config(MIGRATIONS, url))
        downgrade(MIGRATIONS, url, "base")


INSERT = (
    "INSERT INTO users (id, email, name, role, status, password_hash) "
    "VALUES (RANDOM_BYTES(16), :email, 'n', 'user', 'active', 'x')"
)


async def test_the_column_itself_tells_similar_addresses_apart_and_refuses_others(sql: Any) -> None:
    await sql(INSERT, email="collation@example.com")
    await sql(INSERT, email="Collation@example.com")
    with pytest.raises(IntegrityError):
        await sql(INSERT, email="collation@example.com")
    with pytest.raises(Exception, match=r"Incorrect string value|Conversion"):
        await sql(INSERT, email="collátion@example.com")


async def test_a_value_that_is_too_long_is_refused_not_cut(sql: Any) -> None:
    with pytest.raises((DataError, Exception), match="Data too long"):
        await sql(INSERT, email="a" * 255)


async def test_expired_rows_are_swept_and_others_stay(resources: Any, user: Any, sql: Any) -> None:
    import uuid

    identifier = uuid.UUID(user.id).bytes
    await resources.housekeeping.sweep()
    assert await sql("SELECT 1 FROM sessions WHERE user_id = :id", id=identifier)
    await sql("UPDATE sessions SET expires_at = expires_at - INTERVAL 32 DAY WHERE user_id = :id", id=identifier)
    await sql("UPDATE audit_events SET at = at - INTERVAL 366 DAY WHERE subject_id = :id", id=identifier)
    await sql("INSERT INTO rate_counters VALUES (RANDOM_BYTES(32), 1, '2020-01-01', '2020-01-02')")
    await sql(
        "INSERT INTO login_attempts (account, address, updated_at) "
        "VALUES (RANDOM_BYTES(32), RANDOM_BYTES(32), '2020-01-01')"
    )
    assert await resources.housekeeping.sweep() >= 4
    assert not await sql("SELECT 1 FROM sessions WHERE user_id = :id", id=identifier)
    assert not await sql("SELECT 1 FROM audit_events WHERE subject_id = :id", id=identifier)
    assert not await sql("SELECT 1 FROM rate_counters WHERE expires_at < '2021-01-01'")
    assert not await sql("SELECT 1 FROM login_attempts WHERE updated_at < '2021-01-01'")
    assert await sql("SELECT 1 FROM users WHERE id = :id", id=identifier)
