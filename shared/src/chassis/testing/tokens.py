"""Access tokens as identity-service would sign them, with a key of the test's own."""

import base64
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.canonical_jws import with_low_s
from chassis.ids import new_id
from chassis.tokens import AccessTokenVerifier, KeySet

ISSUER = "https://movie-package-suite.local"
AUDIENCE = "edge"
# Order of the curve P-256.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def signature_twin(token: str) -> str:
    """`token` with the other signature that verifies, (r, n - s): what anybody can make of a token they hold."""
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    other = raw[:32] + (_ORDER - int.from_bytes(raw[32:])).to_bytes(32)
    return f"{signed}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}"


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
        header = {"typ": "at+jwt", "kid": self.kid, **(headers or {})}
        return with_low_s(jwt.encode(payload, self._key, algorithm="ES256", headers=header))

    def bearer(
        self, user_id: uuid.UUID | None = None, roles: Sequence[str] = ("user",), **claims: Any
    ) -> dict[str, str]:
        """The Authorization header of `token`."""
        return {"Authorization": f"Bearer {self.token(user_id, roles, **claims)}"}
