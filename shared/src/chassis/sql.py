"""MySQL through SQLAlchemy: engine, column types, and transactions that are repeated when that is safe.

Runs alike on MySQL 8.4 and MariaDB 10.11; what they do not share is avoided.
"""

import asyncio
import logging
import random
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from asyncmy import errors as driver_errors
from sqlalchemy import BINARY, MetaData, event, text
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.types import TypeDecorator

from chassis import tracing
from chassis.errors import UnavailableError
from chassis.sql_tracing import trace_statements

Result = TypeVar("Result")
_log = logging.getLogger(__name__)

# Stable names, so that a violated constraint can be told from another and migrations can name them.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
TABLE_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}

_DUPLICATE = 1062
# Lock wait time-out; deadlock; and the savepoint that went with the whole transaction in a deadlock, whose own
# error is hidden by the failing ROLLBACK TO SAVEPOINT.
_RETRYABLE = frozenset({1205, 1213, 1305})
_HOST_ERROR = 2003
_CONNECTION_LOST = frozenset({2002, _HOST_ERROR, 2006, 2013, 1040, 1053, 1927, 4031})
_ATTEMPTS = 8
# A server that is frozen or cut off without a word answers nothing at all. Longer than any statement takes.
_READ_SECONDS = 10
# Nobody waits for a second attempt after so much time has gone.
_REPEAT_SECONDS = 5
# Strict mode whatever the server's default: silent truncation would let two e-mails become one.
_SESSION = (
    "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = 5, "
    "sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
)


class UtcDateTime(TypeDecorator[datetime]):
    """DATETIME(6) that takes and gives aware times in UTC."""

    impl = DATETIME(fsp=6)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without an offset cannot be stored")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class BinaryUuid(TypeDecorator[uuid.UUID]):
    """A UUID in BINARY(16): a third of the text's size, and in the order it was made for version 7."""

    impl = BINARY(16)
    cache_ok = True

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> uuid.UUID | None:
        return None if value is None else uuid.UUID(bytes=value)


def new_metadata() -> MetaData:
    """Metadata with the naming convention."""
    return MetaData(naming_convention=NAMING_CONVENTION)


def driver_url(database_url: str, driver: str) -> URL:
    """`mysql://…` with the driver that this process uses ("asyncmy" for services, "pymysql" for migrations)."""
    return make_url(database_url).set(drivername=f"mysql+{driver}").update_query_dict({"charset": "utf8mb4"})


def error_number(error: BaseException) -> int | None:
    """The server's or driver's error number."""
    original = getattr(error, "orig", None)
    if original is None:
        return None
    arguments: tuple[object, ...] = getattr(original, "args", ()) or getattr(original.__cause__, "args", ())
    return next((argument for argument in arguments if isinstance(argument, int)), None)


def violated_constraint(error: IntegrityError) -> str | None:
    """The name of the unique key that a duplicate (1062) violates, without its table; None for other errors."""
    if error_number(error) != _DUPLICATE:
        return None
    found = re.search(r"for key '(?:[^'.]*\.)?([^']+)'", str(error.orig))
    return found.group(1) if found else None


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, PoolTimeoutError | OSError | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or error_number(error) in _CONNECTION_LOST


def _connect(dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Connect, with one kind of error for every way in which it fails.

    asyncmy 0.2 raises a bare RuntimeError when the connection is reset between the TCP handshake and the greeting,
    and EOFError in the middle of it.
    """
    try:
        return dialect.connect(*arguments, **options)
    except (RuntimeError, EOFError) as error:
        raise driver_errors.OperationalError(_HOST_ERROR, f"connection lost while it was opened: {error}") from error


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer; whether the last change was made is not known when it went away at commit."""

    default_detail = "The service's database does not answer at the moment. Try again shortly."


class Database:
    """A pool of connections to one MySQL database, and the two ways of using them."""

    def __init__(self, database_url: str, *, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            driver_url(database_url, "asyncmy"),
            isolation_level="READ COMMITTED",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_recycle=1800,
            pool_pre_ping=True,
            connect_args={"connect_timeout": 3, "read_timeout": _READ_SECONDS, "init_command": _SESSION},
        )
        if tracing.is_recording():
            trace_statements(self.engine.sync_engine)
        event.listen(self.engine.sync_engine, "do_connect", _connect)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    async def aclose(self) -> None:
        await self.engine.dispose()

    async def now(self) -> datetime:
        """The database's clock. Raises `DatabaseUnavailableError`."""
        return await self.read(database_now)

    async def transaction(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """Run `work` in one READ COMMITTED transaction and commit.

        The whole of `work` runs again after a deadlock, a lock wait time-out or a connection lost before the
        commit, so it must have no effect outside the session. Raises `DatabaseUnavailableError`; other
        errors of `work`, `IntegrityError` among them, pass through after a rollback.
        """
        attempt = 0
        loop = asyncio.get_running_loop()
        last_start = loop.time() + _REPEAT_SECONDS
        while True:
            attempt += 1
            committing = False
            try:
                async with self._sessions() as session:
                    result = await work(session)
                    committing = True
                    await session.commit()
                    return result
            except (OperationalError, InterfaceError, PoolTimeoutError, DBAPIError, OSError) as error:
                lost = _is_lost(error)
                again = error_number(error) in _RETRYABLE or (lost and not committing)
                if again and attempt < (3 if lost else _ATTEMPTS) and (not lost or loop.time() < last_start):
                    await asyncio.sleep(random.uniform(0.005, 0.02) * attempt)  # noqa: S311 - jitter, no secret
                    continue
                if lost or again:
                    _log.warning("database unavailable", extra={"reason": f"{type(error).__name__}"})
                    raise DatabaseUnavailableError from error
                raise

    async def read(self, work: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
        """Run `work`, which only reads, with the same repeats and errors as `transaction`."""
        return await self.transaction(work)


async def database_now(session: AsyncSession) -> datetime:
    """The database's clock, so that all replicas decide by one clock."""
    value: Any = (await session.execute(text("SELECT UTC_TIMESTAMP(6)"))).scalar_one()
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else datetime.fromisoformat(str(value))
