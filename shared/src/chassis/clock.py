"""The wall clock, passed as a function so that rules about time can be tested without waiting."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(moment: datetime) -> str:
    """`moment` (aware) as RFC 3339 in UTC with `Z`, as the API shows times."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
