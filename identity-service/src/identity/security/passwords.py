"""Storing and checking passwords: scheme `v1 = bcrypt(base64(HMAC-SHA-384(pepper, NFC(password))))`.

The HMAC brings any password to 64 characters without NUL, inside bcrypt's limit of 72 bytes, and makes a
stolen table useless without the pepper, which is not in the database (OWASP Password Storage Cheat Sheet).
"""

import asyncio
import base64
import contextlib
import hmac
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt
from prometheus_client import CollectorRegistry, Gauge

from identity.domain.errors import OverloadedError
from identity.domain.passwords import normalise

Result = TypeVar("Result")
_log = logging.getLogger(__name__)

# A row with a huge cost would be a way to burn our processors.
MAX_STORED_COST = 16
_STORED = re.compile(r"v1\$(\d{1,9})\$(\$2b\$(\d\d)\$[./A-Za-z0-9]{53})", re.ASCII)
_NICENESS = 10


class HashMetrics:
    """How busy the hashing threads are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge("identity_hashes_waiting", "Passwords queued or being hashed.", registry=registry)


def _yield_to_others() -> None:
    # Linux gives each thread a niceness of its own: in a login storm the event loop still gets its core at once.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class PasswordHasher:
    """Hashes and verifies passwords in threads of its own, so many at a time and no more.

    `peppers` maps an id to a secret, `pepper_id` names the one for new hashes; a stored hash names its pepper
    and carries its cost, so both can change. Raises `OverloadedError` when `queue` passwords wait already.
    """

    def __init__(  # noqa: PLR0913 - each is a parameter of its own
        self,
        peppers: Mapping[int, bytes],
        pepper_id: int,
        cost: int,
        *,
        threads: int,
        queue: int,
        metrics: HashMetrics | None = None,
    ) -> None:
        self._peppers = peppers
        self._pepper_id = pepper_id
        self._cost = cost
        self._limit = threads + queue
        self._waiting = 0
        self._metrics = metrics
        self._executor = ThreadPoolExecutor(threads, "password", initializer=_yield_to_others)
        self._dummy: str | None = None

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def warm_up(self) -> None:
        """Make the hash that unknown users are verified against, of the same scheme and cost as real ones."""
        self._dummy = await self.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """The text to store for `password`."""
        return await self._run(lambda: self._hash(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether `password` is the one behind `stored`; takes as long when there is none."""
        return await self._run(lambda: self._verify(password, stored))

    def needs_upgrade(self, stored: str) -> bool:
        """Whether `stored` was made with another pepper or cost than new ones are."""
        match = _STORED.fullmatch(stored)
        return match is None or (int(match[1]), int(match[3])) != (self._pepper_id, self._cost)

    def _digest(self, password: str, pepper_id: int) -> bytes:
        return base64.b64encode(hmac.digest(self._peppers[pepper_id], normalise(password).encode(), "sha384"))

    def _hash(self, password: str) -> str:
        hashed = bcrypt.hashpw(self._digest(password, self._pepper_id), bcrypt.gensalt(self._cost)).decode()
        return f"v1${self._pepper_id}${hashed}"

    def _verify(self, password: str, stored: str | None) -> bool:
        match = _STORED.fullmatch(stored) if stored is not None else None
        usable = match is not None and int(match[1]) in self._peppers and int(match[3]) <= MAX_STORED_COST
        if stored is not None and not usable:
            _log.error("a stored password hash cannot be checked: its scheme, pepper or cost is not known")
        if match is None or not usable:
            if self._dummy is None:
                self._dummy = self._hash(secrets.token_urlsafe(32))
            self._check(password, self._dummy)
            return False
        return self._check(password, match[0])

    def _check(self, password: str, stored: str) -> bool:
        _, pepper_id, hashed = stored.split("$", 2)
        return bcrypt.checkpw(self._digest(password, int(pepper_id)), hashed.encode())

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._limit:
            raise OverloadedError(retry_after=2)
        self._count(1)
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(self._release)
        # Shielded: a client that leaves does not free the thread, so it must not free the slot either.
        return await asyncio.shield(future)

    def _release(self, future: "asyncio.Future[Result]") -> None:
        self._count(-1)
        if not future.cancelled():
            future.exception()

    def _count(self, step: int) -> None:
        self._waiting += step
        if self._metrics is not None:
            self._metrics.waiting.set(self._waiting)
