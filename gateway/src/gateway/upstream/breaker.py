"""Circuit breaker and retry budget: a service that is down is left alone, and asked again carefully."""

from enum import IntEnum


class BreakerState(IntEnum):
    """The value of the metric `gateway_upstream_breaker_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Opens after `failures` failures in a row; then lets one trial pass each time its pause is over.

    A failure is a service that cannot be reached, breaks off or stays silent. An answer, of whatever status,
    is a success. The pause doubles from `open_seconds` to `max_open_seconds` while trials fail. A trial that
    ends in neither (its client left) needs no bookkeeping: the next one is let through a pause later.
    """

    __slots__ = ("_count", "_failures", "_first", "_longest", "_pause", "_retry_at", "opened")

    def __init__(self, failures: int, open_seconds: float, max_open_seconds: float) -> None:
        self._failures = failures
        self._first = open_seconds
        self._longest = max_open_seconds
        self._pause = open_seconds
        self._count = 0
        self._retry_at = 0.0
        self.opened = 0

    def state(self, now: float) -> BreakerState:
        if self._count < self._failures:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._retry_at else BreakerState.HALF_OPEN

    def allows(self, now: float) -> bool:
        """Whether a request may pass; in the half-open state the asking request is the trial."""
        if self._count < self._failures:
            return True
        if now < self._retry_at:
            return False
        self._retry_at = now + self._pause
        return True

    def retry_after(self, now: float) -> int:
        """Whole seconds until the next trial, at least 1."""
        return max(1, round(self._retry_at - now))

    def success(self) -> None:
        self._count = 0
        self._pause = self._first

    def failure(self, now: float) -> None:
        self._count += 1
        if self._count == self._failures:
            self.opened += 1
            self._retry_at = now + self._pause
        elif self._count > self._failures:
            self._pause = min(self._pause * 2, self._longest)
            self._retry_at = now + self._pause


class RetryBudget:
    """Bounds replays to a share of the requests, so that they cannot multiply the load on a failing service."""

    __slots__ = ("_at", "_per_second", "_share", "_tokens")

    _MOST = 100.0

    def __init__(self, share: float, per_second: float) -> None:
        self._share = share
        self._per_second = per_second
        self._tokens = per_second
        self._at: float | None = None

    def deposit(self) -> None:
        """Count one first attempt."""
        self._tokens += self._share

    def withdraw(self, now: float) -> bool:
        """Whether one more attempt is affordable; it is then paid for."""
        elapsed = 0.0 if self._at is None else now - self._at
        self._at = now
        self._tokens = min(self._MOST, self._tokens + elapsed * self._per_second)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
