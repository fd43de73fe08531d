"""Schema changes: run as a step of their own, never by a replica at its start."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, NullPool, create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.sql import driver_url

_log = logging.getLogger(__name__)

_LOCK = "schema-migration"


def alembic_config(script_location: Path, database_url: str) -> Config:
    """Configuration for the migrations in `script_location`; the URL is handed over outside of any file."""
    config = Config()
    config.set_main_option("script_location", str(script_location).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def upgrade(script_location: Path, database_url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`. Two runs at once are safe: the second waits for the first.

    A schema that is newer than this code stays as it is: going back to the previous version runs its migrations again,
    and that version works on it.
    """
    if revision == "head" and (newer := _unknown_revision(script_location, database_url)):
        _log.info("schema is newer than this version, nothing to do", extra={"revision": newer})
        return
    command.upgrade(alembic_config(script_location, database_url), revision)


def downgrade(script_location: Path, database_url: str, revision: str) -> None:
    """Take the schema back to `revision` ("base" for none)."""
    command.downgrade(alembic_config(script_location, database_url), revision)


def run_environment(context: EnvironmentContext, metadata: MetaData) -> None:
    """The body of a service's `env.py`."""
    # No pool: a step that fails gives the lock back, not only the connection to a pool.
    engine = create_engine(driver_url(context.config.attributes["database_url"], "pymysql"), poolclass=NullPool)
    with engine.connect() as connection:
        _lock(connection)
        context.configure(connection=connection, target_metadata=metadata, compare_server_default=False)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


def _lock(connection: Connection) -> None:
    # Held by the connection, so it goes when the step ends or dies.
    acquired = connection.execute(text(f"SELECT GET_LOCK(CONCAT('{_LOCK}.', DATABASE()), 60)")).scalar()
    if acquired != 1:
        raise RuntimeError("another migration of this database has been running for more than a minute")
    connection.commit()


def _unknown_revision(script_location: Path, database_url: str) -> str | None:
    engine = create_engine(driver_url(database_url, "pymysql"), poolclass=NullPool)
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    return found if found is not None and found not in known_revisions(script_location)[1] else None


@functools.cache
def known_revisions(script_location: Path) -> tuple[str, Sequence[str]]:
    """The newest revision that this code knows, and all of them."""
    scripts = ScriptDirectory(str(script_location))
    return str(scripts.get_current_head()), [script.revision for script in scripts.walk_revisions()]


class OutdatedSchemaError(RuntimeError):
    """The database's schema is older than this code needs."""


async def require_schema(engine: AsyncEngine, script_location: Path) -> None:
    """Raises `OutdatedSchemaError` unless the schema is at this code's newest revision or beyond.

    A revision that this code does not know is a newer one: migrations stay safe beside the previous version.
    """
    head, known = known_revisions(script_location)

    # Not alembic's own way, which writes two lines of log: readiness asks every few seconds.
    async with engine.connect() as connection:
        try:
            revision = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        except ProgrammingError:
            revision = None
    if revision is None or (revision in known and revision != head):
        raise OutdatedSchemaError(f"schema is at {revision}, this code needs {head}: run the migrations")
