"""The wall clock, passed as a function so that rules about time can be tested without waiting."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

# The leeway of token times; leases and the outbox go by the databases' clocks and do not mind at all.
MAX_SKEW = timedelta(seconds=5)


class ClockSkewError(Exception):
    """This machine's clock and the database's differ by more than `MAX_SKEW`."""


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(moment: datetime) -> str:
    """`moment` (aware) as RFC 3339 in UTC with `Z`, as the API shows times."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def require_agreement(their_now: Callable[[], Awaitable[datetime]], clock: Clock = utc_now) -> None:
    """Compare `clock` with that of a server; the time that its answer takes counts in its favour.

    A replica whose clock is wrong would take expired tokens and grants for valid ones, so it must not be ready.

    Raises:
        ClockSkewError: they differ by more than `MAX_SKEW`.
    """
    before = clock()
    theirs = await their_now()
    if not before - MAX_SKEW <= theirs <= clock() + MAX_SKEW:
        raise ClockSkewError(f"the server's clock is {(theirs - before).total_seconds():+.1f} s ahead of ours")
