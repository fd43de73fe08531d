"""Verification of access tokens (RFC 9068 `at+jwt`, ES256): the one verifier that every process uses."""

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt

from chassis.canonical_jws import is_canonical
from chassis.errors import UnauthenticatedError, UnavailableError

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger(__name__)

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type, no secret
LEEWAY_SECONDS = 5
MAX_LIFETIME_SECONDS = 900
_MAX_TOKEN_CHARACTERS = 4096
_REQUIRED = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid", "ver", "auth_time"]
# No jku, jwk, x5u, x5c, crit, b64, zip: a header that names its own key or changes the rules is refused.
_ALLOWED_HEADER = frozenset({"alg", "typ", "kid"})


class InvalidTokenError(UnauthenticatedError):
    """The token is not one that we issued, or no longer valid. Which of both is not told."""

    code = "invalid-token"
    title = "Invalid access token"
    default_detail = "The access token is not valid or has expired. Refresh it or log in again."


class UnknownKeyError(InvalidTokenError):
    """The token names a key that is not (yet) in the key set."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as a verified access token says it.

    `version` is the user's token generation, `authenticated_at` and `expires_at` are seconds since the epoch,
    `token` is the token itself, to be forwarded to another service and never logged.
    """

    user_id: uuid.UUID
    session_id: uuid.UUID
    roles: frozenset[str]
    version: int
    authenticated_at: int
    expires_at: int
    token: str = field(repr=False)

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles


JwksSource = Callable[[], Awaitable[Mapping[str, Any]]]
"""Fetches a JWK set (RFC 7517) as a mapping."""


def jwks_over_http(client: "httpx.AsyncClient", urls: Sequence[str]) -> JwksSource:
    """A source that asks `urls` in turn; raises the last failure when none answers with a key set."""
    import httpx  # noqa: PLC0415 - costs memory, and the gateway has no use for it

    async def fetch() -> Mapping[str, Any]:
        failure: Exception = httpx.ConnectError("no address is configured")
        for url in urls:
            try:
                answer = await client.get(url, timeout=2.0, follow_redirects=False)
                answer.raise_for_status()
                if len(answer.content) > 65536:
                    raise ValueError("key set larger than 64 KiB")
                document = answer.json()
                if isinstance(document, dict) and isinstance(document.get("keys"), list):
                    return document
                raise ValueError("not a JWK set")
            except (httpx.HTTPError, ValueError) as error:
                failure = error
        raise failure

    return fetch


class KeySet:
    """The public keys that tokens may be signed with: loaded at start, refreshed, kept when a refresh fails."""

    def __init__(self, source: JwksSource, *, refresh_seconds: float = 300.0, cooldown_seconds: float = 30.0) -> None:
        self._source = source
        self._refresh_seconds = refresh_seconds
        self._cooldown_seconds = cooldown_seconds
        self._keys: dict[str, jwt.PyJWK] = {}
        self._last_forced = float("-inf")
        self._lock = asyncio.Lock()
        self.epoch = 0

    @property
    def is_loaded(self) -> bool:
        return bool(self._keys)

    def get(self, kid: object) -> jwt.PyJWK | None:
        """The key with exactly this id."""
        return self._keys.get(kid) if isinstance(kid, str) else None

    async def refresh(self) -> None:
        """Fetch the set and replace the present one. Raises what the source raises; the old keys then stay."""
        document = await self._source()
        keys = {}
        for entry in document["keys"]:
            if entry.get("alg") != ALGORITHM or entry.get("use") != "sig" or not isinstance(entry.get("kid"), str):
                continue
            try:
                keys[entry["kid"]] = jwt.PyJWK(entry, ALGORITHM)
            except jwt.PyJWTError:
                _log.warning("a published key cannot be used", extra={"kid": entry["kid"]})
        if not keys:
            raise ValueError("the key set holds no usable key")
        if keys.keys() != self._keys.keys():
            self.epoch += 1
        self._keys = keys

    async def refresh_for_unknown_key(self) -> None:
        """Refresh once for many callers that met an unknown key, and at most once in the cool-down."""
        asked = time.monotonic()
        async with self._lock:
            if asked < self._last_forced or time.monotonic() - self._last_forced < self._cooldown_seconds:
                return
            self._last_forced = time.monotonic()
            try:
                await self.refresh()
            except Exception as error:  # noqa: BLE001 - the old keys stay in use whatever went wrong
                _log.warning("key set not refreshed", extra={"reason": f"{type(error).__name__}: {error}"})

    async def keep_fresh(self) -> None:
        """Refresh for ever: quickly until the first success, then at the regular interval."""
        delay = 0.2
        while True:
            try:
                await self.refresh()
                delay = self._refresh_seconds
            except Exception as error:  # noqa: BLE001 - any failure: keep what we have and try again
                _log.warning("key set not refreshed", extra={"reason": f"{type(error).__name__}: {error}"})
                delay = min(delay * 2, self._refresh_seconds) if not self.is_loaded else 5.0
            await asyncio.sleep(delay)


class AccessTokenVerifier:
    """Decides whether a string is a valid access token.

    Verified tokens are remembered under the hash of the whole token until they expire, because a signature
    check costs a hundred times more than a look-up; the memory is bounded and emptied when the keys change.
    Revocation is not looked at here: deny-lists go by session and user, never by token. Who keeps one lets the
    tokens that it refuses be forgotten.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str,
        now: Callable[[], float] = time.time,
        cache_size: int = 10_000,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._now = now
        self._cache_size = cache_size
        self._young: dict[bytes, Principal] = {}
        self._old: dict[bytes, Principal] = {}
        self._epoch = keys.epoch

    @property
    def remembered(self) -> int:
        """How many verified tokens are remembered."""
        return len(self._young) + len(self._old)

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified before and has not expired."""
        if self._epoch != self._keys.epoch:
            self.flush()
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        principal = self._young.get(digest) or self._old.get(digest)
        if principal is None or self._now() >= principal.expires_at + LEEWAY_SECONDS:
            return None
        return principal

    def flush(self) -> None:
        """Forget every verified token."""
        self._young, self._old = {}, {}
        self._epoch = self._keys.epoch

    def forget(self, is_refused: Callable[[Principal], bool]) -> None:
        """Forget the verified tokens of these principals. It looks at all tokens: not for every request."""
        self._young, self._old = (
            {digest: principal for digest, principal in tokens.items() if not is_refused(principal)}
            for tokens in (self._young, self._old)
        )

    async def verify(self, token: str) -> Principal:
        """Who holds `token`. Raises `InvalidTokenError`, or `UnavailableError` while no key is known."""
        if (principal := self.cached(token)) is not None:
            return principal
        try:
            principal = self._decode(token)
        except UnknownKeyError:
            await self._keys.refresh_for_unknown_key()
            if not self._keys.is_loaded:
                raise UnavailableError("Access tokens cannot be verified at the moment. Try again shortly.") from None
            principal = self._decode(token)
        self._remember(principal)
        return principal

    def _remember(self, principal: Principal) -> None:
        # Two generations: when the young one is full the old one goes, so memory is bounded without a scan.
        if len(self._young) >= self._cache_size // 2:
            self._old, self._young = self._young, {}
        self._young[hashlib.sha256(principal.token.encode()).digest()] = principal

    def _decode(self, token: str) -> Principal:
        if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii() or not is_canonical(token):
            raise InvalidTokenError
        try:
            header = jwt.get_unverified_header(token)
            if set(header) - _ALLOWED_HEADER or str(header.get("typ", "")).lower() != TOKEN_TYPE:
                raise InvalidTokenError
            key = self._keys.get(header.get("kid"))
            if key is None:
                raise UnknownKeyError
            claims = jwt.decode(
                token,
                key=key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED, "strict_aud": True, "verify_exp": False, "verify_iat": False},
            )
            return self._principal(token, claims)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
            raise InvalidTokenError from error

    def _principal(self, token: str, claims: Mapping[str, Any]) -> Principal:
        numbers = [claims[name] for name in ("exp", "iat", "nbf", "ver", "auth_time")]
        if any(type(number) is not int for number in numbers):
            raise InvalidTokenError
        expires, issued, not_before, version, authenticated = numbers
        now = self._now()
        if not issued < expires <= issued + MAX_LIFETIME_SECONDS:
            raise InvalidTokenError
        if now >= expires + LEEWAY_SECONDS or now < max(issued, not_before) - LEEWAY_SECONDS:
            raise InvalidTokenError
        roles = claims.get("roles", [])
        if not isinstance(roles, list) or any(not isinstance(role, str) for role in roles):
            raise InvalidTokenError
        return Principal(
            user_id=uuid.UUID(claims["sub"]),
            session_id=uuid.UUID(claims["sid"]),
            roles=frozenset(roles),
            version=version,
            authenticated_at=authenticated,
            expires_at=expires,
            token=token,
        )
