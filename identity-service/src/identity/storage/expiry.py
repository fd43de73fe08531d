"""What may be deleted after which time, in MySQL."""

from datetime import datetime, timedelta

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import UtcDateTime

_DAY = timedelta(days=1)

# Table: the condition under which a row goes. An ended session stays a day, so that a replay of one of its
# refresh tokens is still seen and its end still appears in the gateways' snapshot.
SWEPT = {
    "sessions": "expires_at < :day_ago OR revoked_at < :day_ago",
    "reset_tokens": "expires_at < :day_ago",
    "rate_counters": "expires_at < :now",
    "login_attempts": "updated_at < :month_ago OR (succeeded_at IS NULL AND updated_at < :two_days_ago)",
    "signing_keys": "removes_at < :now",
    "audit_events": "at < :audit_before",
}


async def delete_expired(
    session: AsyncSession, table: str, now: datetime, audit_retention: timedelta, limit: int
) -> int:
    """Delete up to `limit` rows of `table` (a key of `SWEPT`) that have expired; how many."""
    moments = {
        "now": now,
        "day_ago": now - _DAY,
        "two_days_ago": now - 2 * _DAY,
        "month_ago": now - 31 * _DAY,
        "audit_before": now - audit_retention,
    }
    condition = SWEPT[table]
    used = {name: moment for name, moment in moments.items() if f":{name}" in condition}
    statement = text(f"DELETE FROM {table} WHERE {condition} LIMIT :most")  # noqa: S608 - from the table above
    statement = statement.bindparams(*(bindparam(name, type_=UtcDateTime()) for name in used))
    result = await session.execute(statement, {**used, "most": limit})
    return int(result.rowcount)  # type: ignore[attr-defined]
