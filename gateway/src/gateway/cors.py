"""Requests from browsers of other origins (the Fetch standard's CORS protocol), for origins named in a setting.

No credentials mode: access tokens are sent by scripts, never by the browser on its own.
"""

from collections.abc import Collection, Sequence

from gateway.headers import RequestHeaders
from gateway.routing import Resource

_EXPOSED = (
    b"access-control-expose-headers: ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, "
    b"Retry-After, X-Request-Id, X-Total-Count\r\n"
)
# On every answer: a cache must not give one origin what it keeps for another, or for none.
_VARY = (b"vary: origin\r\n",)
_PREFLIGHT = (
    b"access-control-allow-headers: Authorization, Content-Type, Accept-Language, Idempotency-Key, If-Match, "
    b"If-None-Match, Traceparent, Tracestate, X-Request-Id\r\naccess-control-max-age: 600\r\n"
)


def is_preflight(headers: RequestHeaders, origins: Collection[bytes]) -> bool:
    """Whether a browser asks if it may, for an origin that may."""
    return headers.get(b"access-control-request-method") is not None and headers.get(b"origin") in origins


def preflight_lines(resource: Resource) -> Sequence[bytes]:
    """What it may."""
    return (b"access-control-allow-methods: ", resource.allow.encode(), b"\r\n", _PREFLIGHT)


def answer_lines(headers: RequestHeaders, origins: Collection[bytes]) -> Sequence[bytes]:
    """The lines that let the script of an allowed origin read an answer."""
    origin = headers.get(b"origin")
    if origin is None or origin not in origins:
        return _VARY
    return (b"access-control-allow-origin: ", origin, b"\r\n", _EXPOSED, *_VARY)
