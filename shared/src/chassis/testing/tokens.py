"""Access tokens as identity-service would sign them, with a key of the test's own."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.ids import new_id
from chassis.tokens import AccessTokenVerifier, KeySet

ISSUER = "https://movie-package-suite.local"
AUDIENCE = "edge"


class TokenIssuer:
    """Signs tokens and publishes the key that verifies them."""

    def __init__(self, kid: str = "test-key") -> None:
        self.kid = kid
        self._key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> dict[str, Any]:
        """The public key set."""
        jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**jwk, "kid": self.kid, "alg": "ES256", "use": "sig"}]}

    async def fetch(self) -> Mapping[str, Any]:
        """The key set as a `JwksSource`."""
        return self.jwks()

    async def verifier(self) -> AccessTokenVerifier:
        """A verifier that knows this issuer's key."""
        keys = KeySet(self.fetch)
        await keys.refresh()
        return AccessTokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)

    def token(
        self,
        user_id: uuid.UUID | None = None,
        roles: Sequence[str] = ("user",),
        *,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A signed access token; `claims` replaces claims, and removes those given as None."""
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id or new_id()),
            "client_id": "first-party",
            "sid": str(new_id()),
            "jti": str(new_id()),
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "auth_time": now,
            "amr": ["pwd"],
            "roles": list(roles),
            "ver": 1,
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(
            payload, self._key, algorithm="ES256", headers={"typ": "at+jwt", "kid": self.kid, **(headers or {})}
        )

    def bearer(
        self, user_id: uuid.UUID | None = None, roles: Sequence[str] = ("user",), **claims: Any
    ) -> dict[str, str]:
        """The Authorization header of `token`."""
        return {"Authorization": f"Bearer {self.token(user_id, roles, **claims)}"}
