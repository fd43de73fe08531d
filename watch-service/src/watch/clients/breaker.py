"""A circuit breaker: stops asking a peer that keeps failing, so that callers do not queue up behind time-outs."""

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from chassis.http import PeerUnavailableError


class CircuitBreaker:
    """Opens after `threshold` failures in a row, for `open_seconds`; then one call at a time may try the peer.

    Only `PeerUnavailableError` counts as a failure. State is this process's own: each replica finds out by itself.
    """

    def __init__(
        self, *, threshold: int = 5, open_seconds: float = 2.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._threshold = threshold
        self._open_seconds = open_seconds
        self._now = now
        self._failures = 0
        self._closed_from = float("-inf")
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._failures >= self._threshold

    @property
    def state(self) -> int:
        """0 closed, 1 half-open (the next call tries the peer), 2 open."""
        if not self.is_open:
            return 0
        return 2 if self._closed_from > self._now() else 1

    @asynccontextmanager
    async def guard(self) -> AsyncIterator[None]:
        """Around one call. Raises `PeerUnavailableError` at once while the circuit is open."""
        probe = self.is_open
        if probe:
            remaining = self._closed_from - self._now()
            if remaining > 0 or self._probing:
                raise PeerUnavailableError(retry_after=max(1, math.ceil(remaining)))
            self._probing = True
        try:
            yield
            self._failures = 0
        except PeerUnavailableError:
            self._failures += 1
            self._closed_from = self._now() + self._open_seconds
            raise
        finally:
            if probe:
                self._probing = False
