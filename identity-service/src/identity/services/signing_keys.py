"""The keys that access tokens are signed with: loaded by every replica, rotated by any, one at a time.

A key is published before it signs, so that every verifier has fetched it, and stays in the key set until the
last token that it signed has expired and every verifier's copy has been refreshed.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.clock import Clock, utc_now
from chassis.errors import UnavailableError
from chassis.sql import Database, database_now
from chassis.tokens import LEEWAY_SECONDS
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.signing_keys import StoredKey
from identity.security.access_tokens import SigningKey
from identity.security.signing_keys import KeyWrap, new_key
from identity.storage import audit, signing_keys

_log = logging.getLogger(__name__)

# How long a verifier may keep using the key set it has: the JWKS answer's max-age.
JWKS_MAX_AGE_SECONDS = 300
# The answer of /.well-known/jwks.json is at most this old, so that a key made by another replica is found at once.
_JWKS_STALE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class KeySchedule:
    """When keys change. `overlap` is how long the old key stays in the set once the new one signs."""

    rotate_after: timedelta
    publish_before: timedelta
    overlap: timedelta

    @classmethod
    def of(
        cls, *, rotation_days: int, publish_seconds: int, reload_seconds: int, access_token_seconds: int
    ) -> "KeySchedule":
        """The schedule in which no token outlives its key, whichever replica signed it last."""
        overlap = reload_seconds + access_token_seconds + LEEWAY_SECONDS + JWKS_MAX_AGE_SECONDS
        return cls(timedelta(days=rotation_days), timedelta(seconds=publish_seconds), timedelta(seconds=overlap))


class SigningKeyService:
    """This process's copy of the keys, and their rotation."""

    def __init__(self, database: Database, wrap: KeyWrap, schedule: KeySchedule, clock: Clock = utc_now) -> None:
        self._database = database
        self._wrap = wrap
        self._schedule = schedule
        self._clock = clock
        self._published: list[StoredKey] = []
        self._private: dict[str, ec.EllipticCurvePrivateKey] = {}
        self._loaded_at = float("-inf")
        self._loading = asyncio.Lock()

    async def signing_key(self) -> SigningKey:
        """The newest key that is active. Raises `UnavailableError` while none can be loaded."""
        if not self._published:
            await self.load()
        now = self._clock()
        active = [key for key in self._published if key.activates_at <= now and key.kid in self._private]
        # Clocks differ a little: right after the very first key it may seem to lie in the future.
        usable = active or [key for key in self._published if key.kid in self._private][:1]
        if not usable:
            raise UnavailableError("Tokens cannot be issued at the moment. Try again shortly.")
        key = usable[-1]
        return key.kid, self._private[key.kid]

    async def jwks(self) -> Mapping[str, Any]:
        """The public key set, as fresh as the database allows. Raises `UnavailableError` before the first load."""
        if time.monotonic() - self._loaded_at > _JWKS_STALE_SECONDS:
            async with self._loading:
                if time.monotonic() - self._loaded_at > _JWKS_STALE_SECONDS:
                    await self._load_or_keep()
        return self._document()

    async def load(self) -> Mapping[str, Any]:
        """Read the keys anew, make the first one if there is none, and return the public key set."""
        keys = await self._database.transaction(self._published_keys)
        if not any(self._opens(key) for key in keys):
            # Looked at again inside: another replica may have made the first key since.
            await self._database.transaction(lambda session: self._rotate(session, at_once=True, only_if_unusable=True))
            keys = await self._database.transaction(self._published_keys)
        opened = {key.kid: self._wrap.unwrap(key.kid, key.wrapped_private_key) for key in keys}
        self._published = keys
        self._private = {kid: private for kid, private in opened.items() if private is not None}
        self._loaded_at = time.monotonic()
        return self._document()

    async def rotate(self, *, at_once: bool = False, only_if_due: bool = False) -> bool:
        """Make the next key and set the end of the present ones; False when there was nothing to do.

        `at_once` skips the time of publication: for the very first key, and after a private key has leaked.
        `only_if_due` leaves a key alone that is younger than the rotation interval. Of two rotations at the
        same moment one is made.
        """
        return await self._database.transaction(
            lambda session: self._rotate(session, at_once=at_once, only_if_due=only_if_due)
        )

    async def _rotate(
        self, session: AsyncSession, *, at_once: bool, only_if_due: bool = False, only_if_unusable: bool = False
    ) -> bool:
        now = await database_now(session)
        # Before the keys: one that is made in between is either seen below or collides on its number.
        newest = await signing_keys.highest_number(session)
        present = await signing_keys.list_published(session, now)
        if only_if_due and present and now - present[-1].created_at < self._schedule.rotate_after:
            return False
        if only_if_unusable and any(self._opens(key) for key in present):
            return False
        activates_at = now if at_once or not present else now + self._schedule.publish_before
        kid, jwk, wrapped = new_key(self._wrap)
        key = StoredKey(kid, newest + 1, jwk, wrapped, now, activates_at, None)
        if not await signing_keys.add_next(session, key):
            return False
        await signing_keys.retire_before(session, key.number, activates_at + self._schedule.overlap)
        await audit.append(session, AuditEvent(Action.KEY_ROTATE, Result.SUCCESS, detail=kid))
        _log.info("signing key made", extra={"kid": kid, "activates": activates_at.isoformat()})
        return True

    async def list_states(self) -> list[tuple[StoredKey, str]]:
        """Every published key and its state: published, active or retiring."""
        now, keys = await self._database.read(self._now_and_keys)
        active = [key for key in keys if key.activates_at <= now][-1:]
        return [
            (key, "published" if key.activates_at > now else "active" if key in active else "retiring") for key in keys
        ]

    async def _now_and_keys(self, session: AsyncSession) -> tuple[datetime, list[StoredKey]]:
        now = await database_now(session)
        return now, await signing_keys.list_published(session, now)

    async def _published_keys(self, session: AsyncSession) -> list[StoredKey]:
        return (await self._now_and_keys(session))[1]

    def _opens(self, key: StoredKey) -> bool:
        opened = self._wrap.unwrap(key.kid, key.wrapped_private_key) is not None
        if not opened:
            _log.error("a signing key cannot be decrypted with the configured secret", extra={"kid": key.kid})
        return opened

    async def _load_or_keep(self) -> None:
        try:
            await self.load()
        except UnavailableError:
            if not self._published:
                raise
            _log.warning("key set not reloaded; the last one is served")

    def _document(self) -> Mapping[str, Any]:
        return {"keys": [dict(key.public_jwk) for key in self._published]}
