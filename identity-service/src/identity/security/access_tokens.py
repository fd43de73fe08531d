"""Issuing access tokens (RFC 9068)."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.canonical_jws import with_low_s
from chassis.ids import new_id
from chassis.tokens import ALGORITHM, TOKEN_TYPE
from identity.domain.sessions import Session
from identity.domain.users import User

SigningKey = tuple[str, ec.EllipticCurvePrivateKey]
"""Key id and private key."""


class AccessTokenIssuer:
    """Signs access tokens with the key that is active now.

    `signing_key` raises `UnavailableError` while no key is known.
    """

    def __init__(
        self, signing_key: Callable[[], Awaitable[SigningKey]], *, issuer: str, audience: str, lifetime: timedelta
    ) -> None:
        self._signing_key = signing_key
        self._issuer = issuer
        self._audience = audience
        self.lifetime = lifetime

    async def issue(self, user: User, session: Session, now: datetime) -> str:
        """An access token of `user` in `session`. It names no person: no e-mail address, no name."""
        kid, key = await self._signing_key()
        issued = int(now.timestamp())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": str(user.id),
            "client_id": "first-party",
            "sid": str(session.id),
            "jti": str(new_id()),
            "iat": issued,
            "nbf": issued,
            "exp": issued + int(self.lifetime.total_seconds()),
            "auth_time": int(session.created_at.timestamp()),
            "amr": ["pwd"],
            "roles": [str(role) for role in user.roles],
            "ver": user.token_version,
        }
        return with_low_s(jwt.encode(claims, key, algorithm=ALGORITHM, headers={"typ": TOKEN_TYPE, "kid": kid}))
