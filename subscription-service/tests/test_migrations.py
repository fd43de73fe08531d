"""The schema: up, down and up again, and the same as the models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, event, inspect, text

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


class CutOffError(Exception):
    """The process has ended, the server goes on."""


@contextmanager
def cut_off_after(statements: int) -> Iterator[None]:
    """End a run when it has changed the schema so many times."""
    made = count()

    def before(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split(maxsplit=1)[0] in ("ALTER", "CREATE", "DROP", "UPDATE") and next(made) == statements:
            raise CutOffError

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)


def run_cut_off_anywhere(run: Callable[[], None], undo: Callable[[], None]) -> int:
    """Repeat `run` until it ends, cut off later each time, and `undo` it; how many times it was cut off."""
    statements = 0
    while True:
        try:
            with cut_off_after(statements):
                run()
        except CutOffError:
            run()
            undo()
            statements += 1
        else:
            return statements


def test_a_run_that_is_cut_off_is_taken_up_by_the_next(empty_database: str) -> None:
    """A server commits each statement, so what a step has done stays. The first step begins with an empty database."""
    revisions = known_revisions(SCRIPTS)[1][::-1]
    upgrade(SCRIPTS, empty_database, revisions[0])
    engine = create_engine(driver_url(empty_database, "pymysql"))
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO packages (id, status, version, name, created_at, updated_at) "
                "VALUES (UNHEX('01'), 'active', 1, 'Family', '2026-01-01', '2026-01-01')"
            )
        )
    for before, after in pairwise(revisions):

        def up(revision: str = after) -> None:
            upgrade(SCRIPTS, empty_database, revision)

        def down(revision: str = before) -> None:
            downgrade(SCRIPTS, empty_database, revision)

        assert run_cut_off_anywhere(up, down) > 1
        assert run_cut_off_anywhere(down, up) > 1
        up()
    with engine.connect() as connection:
        made = _definitions(connection)
        assert connection.execute(text("SELECT name, is_unindexed FROM packages")).all() == [("Family", 1)]
    engine.dispose()
    downgrade(SCRIPTS, empty_database, "base")
    upgrade(SCRIPTS, empty_database)
    with engine.connect() as connection:
        assert _definitions(connection) == made
    engine.dispose()


async def test_a_process_is_not_ready_before_the_migrations(empty_database: str) -> None:
    database = Database(empty_database)
    with pytest.raises(OutdatedSchemaError):
        await require_schema(database.engine, SCRIPTS)
    upgrade(SCRIPTS, empty_database)
    await require_schema(database.engine, SCRIPTS)
    await database.aclose()


async def test_migrations_of_the_previous_version_leave_a_newer_schema_alone(empty_database: str) -> None:
    """As it comes when a release is taken back: the migration step of the older version runs again."""
    upgrade(SCRIPTS, empty_database)
    engine = create_engine(driver_url(empty_database, "pymysql"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '29990101_0000'"))
        connection.execute(text("ALTER TABLE packages ADD COLUMN of_the_future INTEGER"))
        newer = _definitions(connection)
        upgrade(SCRIPTS, empty_database)
        assert _definitions(connection) == newer
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "29990101_0000"
    engine.dispose()
    database = Database(empty_database)
    await require_schema(database.engine, SCRIPTS)
    await database.aclose()
