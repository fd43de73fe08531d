"""Who may do what, how often: the checks between the request line and the service, in this order.

match → rate limit per address → authenticate → deny-list → authorise → rate limit per user. The limit per
address comes before the token, because verifying forged tokens is what a flood would cost us most.
"""

import re
from dataclasses import dataclass

from chassis.errors import ForbiddenError, UnauthenticatedError
from chassis.tokens import AccessTokenVerifier, InvalidTokenError, Principal
from gateway.errors import StartingError
from gateway.headers import RequestHeaders
from gateway.rate_limit import RateLimiter, address_key
from gateway.revocations import Revocations
from gateway.routing import Access, RateClass, Route, RouteTable

# RFC 6750 2.1, b64token.
_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer_token(headers: RequestHeaders) -> str:
    """What a request presents as its access token, unchecked. Raises `UnauthenticatedError`.

    Only the Authorization header counts: a token in a query would end up in logs and histories.
    """
    value = headers.get(b"authorization")
    if value is None or value[:7].lower() != b"bearer ":
        raise UnauthenticatedError
    return value[7:].lstrip(b" ").decode("latin-1")


@dataclass(slots=True)
class Admission:
    """The checks and what they need. The table is replaced when it is read again."""

    table: RouteTable
    verifier: AccessTokenVerifier
    revocations: Revocations
    per_address: RateLimiter
    per_user: RateLimiter
    credentials: RateLimiter

    def limit_address(self, address: str, now: float) -> None:
        """Count the request against its address. Raises `RateLimitedError`."""
        self.per_address.take(address_key(address), now)

    def limit_public(self, route: Route, address: str, now: float) -> bytes:
        """The header lines for a route that has no user to count for; counts those that take credentials."""
        if route.rate_class is RateClass.CREDENTIALS:
            key = address_key(address)
            return self.credentials.lines(self.credentials.take(key, now))
        return b""

    def remembered(self, token: str) -> Principal | None:
        """The principal of a token that was verified before. Raises `StartingError`, `UnauthenticatedError`."""
        if not self.revocations.is_informed:
            raise StartingError
        principal = self.verifier.cached(token)
        # What has been verified needs no second look at its characters.
        if principal is None and not _B64TOKEN.fullmatch(token):
            raise UnauthenticatedError
        return principal

    def authorise(self, route: Route, principal: Principal, now: float) -> bytes:
        """Let `principal` use `route`; the rate limit's header lines.

        Raises `InvalidTokenError` for an ended session or user, `ForbiddenError`, `RateLimitedError`.
        """
        if self.revocations.refuses(principal):
            raise InvalidTokenError
        if route.access is Access.ADMIN and not principal.is_admin:
            raise ForbiddenError
        return self.per_user.lines(self.per_user.take(principal.user_id, now))
