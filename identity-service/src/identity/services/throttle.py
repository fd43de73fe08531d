"""Limits that hold over all replicas: counted in the database, before anything expensive is done."""

import asyncio
import hmac
import ipaddress
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import UnavailableError
from chassis.sql import Database, database_now
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.errors import TooManyRequestsError
from identity.domain.sessions import Client
from identity.domain.throttling import Admission, AttemptState, LoginRules, RateLimit, admit
from identity.storage import audit, throttles

# The gateway gives up on a login after 15 s; an answer of our own has to come before.
_WAIT_SECONDS = 10.0


def address_block(ip: str) -> str:
    """What counts as one address: for IPv6 the /64, which one customer has for themselves."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Throttle:
    """Counts events per subject. `secret` keys the hashes under which subjects are stored."""

    def __init__(self, database: Database, secret: bytes) -> None:
        self._database = database
        self._secret = secret

    def slot(self, *parts: str) -> bytes:
        """The name under which something is counted."""
        return hmac.digest(self._secret, "\0".join(parts).encode(), "sha256")

    async def require(self, limit: RateLimit, client: Client, action: Action) -> None:
        """Count one `action` of the client's address. Raises `TooManyRequestsError` when it is above `limit`."""

        async def work(session: AsyncSession) -> tuple[datetime, int, datetime]:
            now, hits, end = await self._count(session, limit, address_block(client.ip))
            # Once in a window: a flood must not fill the audit log.
            if hits == limit.limit + 1:
                await audit.append(session, AuditEvent(action, Result.THROTTLED, ip=client.ip, detail=limit.name))
            return now, hits, end

        now, hits, end = await self._database.transaction(work)
        if hits > limit.limit:
            raise exceeded(limit, now, end)

    async def allows(self, session: AsyncSession, limit: RateLimit, subject: str) -> bool:
        """Count one event in the caller's transaction; whether `subject` is within `limit`."""
        _, hits, _ = await self._count(session, limit, subject)
        return hits <= limit.limit

    async def _count(self, session: AsyncSession, limit: RateLimit, subject: str) -> tuple[datetime, int, datetime]:
        now = await database_now(session)
        window = timedelta(seconds=limit.window_seconds)
        hits, end = await throttles.count(session, self.slot(limit.name, subject), now, window)
        return now, hits, end


def exceeded(limit: RateLimit, now: datetime, end: datetime) -> TooManyRequestsError:
    """The refusal of an event above `limit`, whose window ends at `end`."""
    wait = max(1, math.ceil((end - now).total_seconds()))
    return TooManyRequestsError(limit.name, limit=limit.limit, window=limit.window_seconds, retry_after=wait)


@dataclass
class Attempt:
    """One attempt to prove knowledge of a password; `settled` once the transaction that says how it ended is done.

    `is_new_account` says that the address has not tried the account in the present window.
    """

    account: bytes
    address: bytes
    address_slot: bytes
    account_slot: bytes
    accounts_slot: bytes
    is_new_account: bool = False
    settled: bool = False


class LoginThrottle:
    """Slows down password guessing for an account from an address, without locking anybody else out."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        database: Database,
        throttle: Throttle,
        rules: LoginRules,
        *,
        address_limit: RateLimit,
        account_limit: RateLimit,
        accounts_limit: RateLimit,
    ) -> None:
        self._database = database
        self._throttle = throttle
        self._rules = rules
        self._address_limit = address_limit
        self._account_limit = account_limit
        self._accounts_limit = accounts_limit

    def account_key(self, email: str) -> bytes:
        """The name under which attempts on an account are counted, whether it exists or not."""
        return self._throttle.slot("account", email)

    @asynccontextmanager
    async def attempt(self, account: str, ip: str) -> AsyncIterator[Attempt]:
        """Count an attempt before the password is looked at, and its outcome afterwards.

        Raises `TooManyRequestsError`, for a right password as well. The caller writes the outcome with `settle`
        and sets `settled` after its commit; an attempt without an outcome (overload, lost database) costs nothing.
        """
        block = address_block(ip)
        attempt = Attempt(
            account=self.account_key(account),
            address=self._throttle.slot("address", block),
            address_slot=self._throttle.slot(self._address_limit.name, block),
            account_slot=self._throttle.slot(self._account_limit.name, account),
            accounts_slot=self._throttle.slot(self._accounts_limit.name, block),
        )
        await self._begin(attempt)
        try:
            yield attempt
        finally:
            if not attempt.settled:
                await self._database.transaction(lambda session: self.settle(session, attempt, None))

    async def _begin(self, attempt: Attempt) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        while True:
            outcome = await self._database.transaction(lambda session: self._admit(session, attempt))
            if isinstance(outcome, TooManyRequestsError):
                raise outcome
            if outcome.admitted:
                return
            if outcome.retry_after is not None:
                raise self._delayed(outcome.retry_after)
            if time.monotonic() > deadline:
                raise UnavailableError("Too many attempts are being checked. Try again shortly.")
            await asyncio.sleep(random.uniform(0.05, 0.25))  # noqa: S311 - jitter, no secret

    async def _admit(self, session: AsyncSession, attempt: Attempt) -> Admission | TooManyRequestsError:
        state = await throttles.lock_attempts(session, attempt.account, attempt.address)
        now = await database_now(session)
        failures_everywhere = await throttles.peek(session, attempt.account_slot, now)
        verdict = admit(state, now, self._rules, under_attack=failures_everywhere >= self._account_limit.limit)
        if not verdict.admitted:
            return verdict
        window = timedelta(seconds=self._address_limit.window_seconds)
        hits, end = await throttles.count(session, attempt.address_slot, now, window)
        if hits > self._address_limit.limit:
            return exceeded(self._address_limit, now, end)
        if (refusal := await self._count_account(session, attempt, state, now)) is not None:
            return refusal
        await throttles.save_attempts(
            session,
            attempt.account,
            attempt.address,
            now,
            failures=verdict.failures,
            pending=verdict.pending + 1,
            pending_since=now,
        )
        return verdict

    async def _count_account(
        self, session: AsyncSession, attempt: Attempt, state: AttemptState, now: datetime
    ) -> TooManyRequestsError | None:
        # One password tried on many accounts stays below every other limit (password spraying).
        begin = await throttles.window_begin(session, attempt.accounts_slot, now)
        attempt.is_new_account = begin is None or state.pending_since is None or state.pending_since < begin
        if not attempt.is_new_account:
            return None
        window = timedelta(seconds=self._accounts_limit.window_seconds)
        accounts, end = await throttles.count(session, attempt.accounts_slot, now, window)
        return exceeded(self._accounts_limit, now, end) if accounts > self._accounts_limit.limit else None

    async def settle(self, session: AsyncSession, attempt: Attempt, succeeded: bool | None) -> None:
        """Write in the caller's transaction how the attempt ended; None when it ended without an outcome."""
        state = await throttles.lock_attempts(session, attempt.account, attempt.address)
        now = await database_now(session)
        outcome: dict[str, object] = {}
        if succeeded:
            outcome = {"failures": 0, "last_failure_at": None, "succeeded_at": now}
        elif succeeded is False:
            outcome = {"failures": state.failures + 1, "last_failure_at": now}
            window = timedelta(seconds=self._account_limit.window_seconds)
            await throttles.count(session, attempt.account_slot, now, window)
        if succeeded is not False:
            await throttles.uncount(session, attempt.address_slot)
            if attempt.is_new_account:
                await throttles.uncount(session, attempt.accounts_slot)
        await throttles.save_attempts(
            session, attempt.account, attempt.address, now, pending=max(0, state.pending - 1), **outcome
        )

    def _delayed(self, seconds: float) -> TooManyRequestsError:
        return TooManyRequestsError(
            "login", limit=1, window=self._rules.max_delay_seconds, retry_after=max(1, math.ceil(seconds))
        )
