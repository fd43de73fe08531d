"""The schema: up, down and up again, and the same as the models."""

from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from chassis.migrations import OutdatedSchemaError, downgrade, known_revisions, require_schema, upgrade
from chassis.sql import Database, driver_url
from chassis.testing.servers import mysql_database
from subscription.migrations import SCRIPTS
from subscription.storage.tables import metadata


@pytest.fixture
def empty_database() -> Iterator[str]:
    with mysql_database("migrations") as url:
        yield url


def test_every_step_goes_up_down_and_up_again(empty_database: str) -> None:
    _, revisions = known_revisions(SCRIPTS)
    for revision, before in zip(reversed(revisions), ["base", *reversed(revisions)], strict=False):
        upgrade(SCRIPTS, empty_database, revision)
        downgrade(SCRIPTS, empty_database, before)
        upgrade(SCRIPTS, empty_database, revision)
    downgrade(SCRIPTS, empty_database, "base")
    engine = create_engine(driver_url(empty_database, "pymysql"))
    assert inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_the_migrations_make_what_the_models_describe(empty_database: str) -> None:
    upgrade(SCRIPTS, empty_database)
    engine = create_engine(driver_url(empty_database, "pymysql"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        made = _definitions(connection)
        assert connection.execute(text("SELECT COUNT(*) FROM outbox_shards")).scalar() == 16
    downgrade(SCRIPTS, empty_database, "base")
    metadata.create_all(engine)
    # The comparison above knows nothing of generated columns, collations and descending indexes.
    with engine.connect() as connection:
        assert _definitions(connection) == made
    engine.dispose()


def _definitions(connection: object) -> dict[str, list[str]]:
    found = {}
    for table in metadata.tables:
        definition = connection.execute(text(f"SHOW CREATE TABLE {table}")).one()[1]  # type: ignore[attr-defined]
        found[table] = sorted(line.strip().rstrip(",") for line in definition.splitlines())
    return found


async def test_a_process_is_not_ready_before_the_migrations(empty_database: str) -> None:
    database = Database(empty_database)
    with pytest.raises(OutdatedSchemaError):
        await require_schema(database.engine, SCRIPTS)
    upgrade(SCRIPTS, empty_database)
    await require_schema(database.engine, SCRIPTS)
    await database.aclose()
