"""Logging in: from e-mail address and password to a session with its first pair of tokens."""

import asyncio
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.ids import new_id
from chassis.sql import Database, database_now
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.errors import InvalidCredentialsError, InvalidCurrentPasswordError, TooManyRequestsError
from identity.domain.sessions import Client, Session, TokenPair
from identity.domain.users import User
from identity.security.access_tokens import AccessTokenIssuer
from identity.security.passwords import PasswordHasher
from identity.security.tokens import new_refresh_token, token_digest
from identity.services.audit import AuditLog
from identity.services.throttle import Attempt, LoginThrottle
from identity.storage import audit, reset_tokens, sessions, users


class AuthenticationService:
    """Verifies passwords. Unknown, wrong and disabled take the same path, the same time and the same answer."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        database: Database,
        audit_log: AuditLog,
        hasher: PasswordHasher,
        throttle: LoginThrottle,
        issuer: AccessTokenIssuer,
        *,
        idle: timedelta,
        absolute: timedelta,
    ) -> None:
        self._database = database
        self._audit = audit_log
        self._hasher = hasher
        self._throttle = throttle
        self._issuer = issuer
        self._idle = idle
        self._absolute = absolute

    async def log_in(self, email: str, password: str, client: Client) -> TokenPair:
        """Start a session for the account of `email`, which is in its canonical form.

        Raises `InvalidCredentialsError`, `TooManyRequestsError`, `OverloadedError`.
        """
        # Shielded: a client that leaves must not keep a failure from being counted.
        pair = await asyncio.shield(self._log_in(email, password, client))
        if pair is None:
            raise InvalidCredentialsError
        return pair

    async def _log_in(self, email: str, password: str, client: Client) -> TokenPair | None:
        try:
            async with self._throttle.attempt(email, client.ip) as attempt:
                return await self._check_and_start(attempt, email, password, client)
        except TooManyRequestsError:
            await self._audit.record(AuditEvent(Action.LOGIN, Result.THROTTLED, ip=client.ip))
            raise

    async def _check_and_start(self, attempt: Attempt, email: str, password: str, client: Client) -> TokenPair | None:
        user = await self._database.read(lambda session: users.find_by_email(session, email))
        verified = await self._hasher.verify(password, None if user is None else user.password_hash)
        proven = await self._upgrade_hash(user, password) if user and verified and user.is_active else None
        subject = None if user is None else user.id

        async def conclude(session: AsyncSession) -> TokenPair | None:
            pair = None if proven is None else await self._start(session, proven, client)
            await self._throttle.settle(session, attempt, pair is not None)
            if pair is None:
                refusal = AuditEvent(Action.LOGIN, Result.FAILURE, subject_id=subject, ip=client.ip)
                await audit.append(session, refusal)
            return pair

        pair = await self._database.transaction(conclude)
        attempt.settled = True
        return pair

    async def _start(self, session: AsyncSession, verified: User, client: Client) -> TokenPair | None:
        user = await users.lock(session, verified.id)
        # A reset, a change or a disabling that was committed since the password was verified wins.
        if user is None or not user.is_active or user.password_hash != verified.password_hash:
            return None
        now = await database_now(session)
        started = Session(
            id=new_id(),
            user_id=user.id,
            created_at=now,
            last_used_at=now,
            expires_at=now + self._absolute,
            access_expires_at=now + self._issuer.lifetime,
            revoked_at=None,
            user_agent=client.user_agent,
            ip=client.ip,
        )
        await sessions.add(session, started)
        # Whoever can log in needs no link any more, and one that lies in a mailbox is a risk.
        await reset_tokens.void(session, user.id)
        await audit.append(
            session, AuditEvent(Action.LOGIN, Result.SUCCESS, actor_id=user.id, subject_id=user.id, ip=client.ip)
        )
        return await self._first_pair(session, user, started, now)

    async def _first_pair(self, session: AsyncSession, user: User, started: Session, now: datetime) -> TokenPair:
        refresh_token = new_refresh_token()
        await sessions.add_refresh_token(
            session, token_digest(refresh_token), started.id, None, now, min(now + self._idle, started.expires_at)
        )
        access_token = await self._issuer.issue(user, started, now)
        return TokenPair(access_token, refresh_token, int(self._issuer.lifetime.total_seconds()))

    async def _upgrade_hash(self, user: User, password: str) -> User:
        """The account with a hash of the present scheme; unchanged when the password changed meanwhile."""
        if not self._hasher.needs_upgrade(user.password_hash):
            return user
        upgraded = await self._hasher.hash(password)

        async def replace(session: AsyncSession) -> User:
            await users.replace_password(session, user.id, user.password_hash, upgraded)
            return await users.find(session, user.id) or user

        current = await self._database.transaction(replace)
        # Only our own replacement counts as verified.
        return current if current.password_hash == upgraded else user

    async def confirm_password(self, user: User, password: str, client: Client, action: Action) -> None:
        """Check the password of somebody who is logged in, throttled like a login.

        Raises `InvalidCurrentPasswordError`, `TooManyRequestsError`, `OverloadedError`.
        """
        if not await asyncio.shield(self._confirm(user, password, client, action)):
            raise InvalidCurrentPasswordError

    async def _confirm(self, user: User, password: str, client: Client, action: Action) -> bool:
        try:
            # Counted per user and not per address: only a holder of the user's token gets here. The user stands for the
            # address, too, because one that all shared would let a few people's failures refuse everybody.
            subject = f"user:{user.id}"
            async with self._throttle.attempt(subject, subject) as attempt:
                return await self._check_current(attempt, user, password, client, action)
        except TooManyRequestsError:
            await self._audit.record(self._about(user, action, Result.THROTTLED, client))
            raise

    async def _check_current(self, attempt: Attempt, user: User, password: str, client: Client, action: Action) -> bool:
        verified = await self._hasher.verify(password, user.password_hash)

        async def conclude(session: AsyncSession) -> None:
            await self._throttle.settle(session, attempt, verified)
            if not verified:
                await audit.append(session, self._about(user, action, Result.FAILURE, client))

        await self._database.transaction(conclude)
        attempt.settled = True
        return verified

    @staticmethod
    def _about(user: User, action: Action, result: Result, client: Client) -> AuditEvent:
        return AuditEvent(action, result, actor_id=user.id, subject_id=user.id, ip=client.ip)
