"""Rate limits: token buckets in this process, one per caller and policy.

Every replica counts for itself. That is enough to protect the services from a runaway client; the limits
that must hold across replicas (guessing passwords) are kept by identity-service in its database.
Headers: draft-ietf-httpapi-ratelimit-headers-10.
"""

import ipaddress
import math
from collections.abc import Hashable
from dataclasses import dataclass

from gateway.errors import RateLimitedError

_MAX_BUCKETS = 200_000


@dataclass(frozen=True, slots=True)
class Policy:
    """`burst` requests at once, refilled at `rate` a second."""

    name: str
    rate: float
    burst: int

    @property
    def window(self) -> int:
        """Seconds in which an empty bucket fills up."""
        return max(1, math.ceil(self.burst / self.rate))

    def header(self) -> bytes:
        """The `RateLimit-Policy` item."""
        return b'"%s";q=%d;w=%d' % (self.name.encode(), self.burst, self.window)


class _Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at


class RateLimiter:
    """The buckets of one policy.

    A bucket that nobody has touched for a whole window is full, which is the same as not there: so two
    generations, swapped once a window, bound the memory without forgetting anything.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._policy_line = b"ratelimit-policy: " + policy.header() + b"\r\n"
        self._prefix = b'%sratelimit: "%s";r=' % (self._policy_line, policy.name.encode())
        self._young: dict[Hashable, _Bucket] = {}
        self._old: dict[Hashable, _Bucket] = {}
        self._swap_at = 0.0
        self.refused = 0

    def take(self, key: Hashable, now: float) -> float:
        """Count one request of `key` at `now` (monotonic seconds); what remains.

        Raises `RateLimitedError`, whose headers say when to come back.
        """
        policy = self.policy
        bucket = self._young.get(key)
        if bucket is None:
            bucket = self._bucket(key, now)
        tokens = bucket.tokens + (now - bucket.at) * policy.rate
        burst = policy.burst
        bucket.tokens = tokens = burst if tokens > burst else tokens
        bucket.at = now
        if tokens < 1:
            raise self._refusal(tokens)
        bucket.tokens = tokens = tokens - 1
        return tokens

    def lines(self, remaining: float) -> bytes:
        """The header lines that tell what remains."""
        policy = self.policy
        return b"%s%d;t=%d\r\n" % (self._prefix, remaining, (policy.burst - remaining) // policy.rate + 1)

    def _bucket(self, key: Hashable, now: float) -> _Bucket:
        if now >= self._swap_at or len(self._young) >= _MAX_BUCKETS:
            self._old, self._young = self._young, {}
            self._swap_at = now + self.policy.window
        bucket = self._old.get(key) or _Bucket(self.policy.burst, now)
        self._young[key] = bucket
        return bucket

    def _refusal(self, tokens: float) -> RateLimitedError:
        self.refused += 1
        wait = max(1, math.ceil((1 - tokens) / self.policy.rate))
        return RateLimitedError(
            headers={
                "Retry-After": str(wait),
                "RateLimit-Policy": self.policy.header().decode(),
                "RateLimit": f'"{self.policy.name}";r=0;t={wait}',
            }
        )


def address_key(address: str) -> str:
    """What counts as one address: an IPv6 subscriber has a whole /64."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    except ValueError:
        return address
