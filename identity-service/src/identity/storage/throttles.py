"""Counters against guessing and flooding, in MySQL so that all replicas count together."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import UtcDateTime
from identity.domain.throttling import AttemptState
from identity.storage.tables import login_attempts, rate_counters

# Assignments are evaluated from left to right: `hits` still sees the old `started_at`.
_COUNT = text(
    "INSERT INTO rate_counters (slot, hits, started_at, expires_at) VALUES (:slot, 1, :now, :end) "
    "ON DUPLICATE KEY UPDATE hits = IF(started_at <= :oldest, 1, hits + 1), "
    "expires_at = IF(started_at <= :oldest, :end, expires_at), "
    "started_at = IF(started_at <= :oldest, :now, started_at)"
).bindparams(*(bindparam(name, type_=UtcDateTime()) for name in ("now", "end", "oldest")))

_TOUCH = text(
    "INSERT INTO login_attempts (account, address) VALUES (:account, :address) "
    "ON DUPLICATE KEY UPDATE failures = failures"
)


async def count(session: AsyncSession, slot: bytes, now: datetime, window: timedelta) -> tuple[int, datetime]:
    """Count one event; how many there are in the present window, and when that window ends."""
    await session.execute(_COUNT, {"slot": slot, "now": now, "end": now + window, "oldest": now - window})
    columns = select(rate_counters.c.hits, rate_counters.c.expires_at).where(rate_counters.c.slot == slot)
    row = (await session.execute(columns)).one()
    return row.hits, row.expires_at


async def peek(session: AsyncSession, slot: bytes, now: datetime) -> int:
    """How many events the present window has."""
    statement = select(rate_counters.c.hits).where(rate_counters.c.slot == slot, rate_counters.c.expires_at > now)
    return int((await session.execute(statement)).scalar_one_or_none() or 0)


async def window_begin(session: AsyncSession, slot: bytes, now: datetime) -> datetime | None:
    """When the present window began; None when there is none."""
    statement = select(rate_counters.c.started_at).where(rate_counters.c.slot == slot, rate_counters.c.expires_at > now)
    return (await session.execute(statement)).scalar_one_or_none()


async def uncount(session: AsyncSession, slot: bytes) -> None:
    """Take one event back."""
    await session.execute(
        update(rate_counters)
        .where(rate_counters.c.slot == slot)
        .values(hits=func.greatest(rate_counters.c.hits - 1, 0))
    )


async def lock_attempts(session: AsyncSession, account: bytes, address: bytes) -> AttemptState:
    """The state of an account and an address, locked until the end of the transaction."""
    await session.execute(_TOUCH, {"account": account, "address": address})
    row = (await session.execute(select(login_attempts).where(*_at(account, address)).with_for_update())).one()
    return AttemptState(row.failures, row.pending, row.last_failure_at, row.pending_since, row.succeeded_at)


async def save_attempts(session: AsyncSession, account: bytes, address: bytes, now: datetime, **values: Any) -> None:
    """Set columns of a locked state."""
    await session.execute(update(login_attempts).where(*_at(account, address)).values(updated_at=now, **values))


async def forget_failures(session: AsyncSession, account: bytes) -> None:
    """Clear the failures of an account from everywhere."""
    await session.execute(
        update(login_attempts).where(login_attempts.c.account == account).values(failures=0, last_failure_at=None)
    )


async def forget_account(session: AsyncSession, account: bytes) -> None:
    """Delete all that is stored about an account."""
    await session.execute(delete(login_attempts).where(login_attempts.c.account == account))


def _at(account: bytes, address: bytes) -> tuple[Any, Any]:
    return login_attempts.c.account == account, login_attempts.c.address == address
