"""Logging in: from e-mail address and password to a session with its first pair of tokens."""

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
from identity.services.throttle import LoginThrottle
from identity.storage import audit, sessions, users


class AuthenticationService:
    """Verifies passwords. Unknown, wrong and disabled take the same path, the same time and the same answer."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        database: Database,
        hasher: PasswordHasher,
        throttle: LoginThrottle,
        issuer: AccessTokenIssuer,
        *,
        idle: timedelta,
        absolute: timedelta,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._throttle = throttle
        self._issuer = issuer
        self._idle = idle
        self._absolute = absolute

    async def log_in(self, email: str, password: str, client: Client) -> TokenPair:
        """Start a session for the account of `email`, which is in its canonical form.

        Raises `InvalidCredentialsError`, `TooManyRequestsError`, `OverloadedError`.
        """
        try:
            async with self._throttle.attempt(email, client.ip) as attempt:
                pair = await self._check_and_start(email, password, client)
                attempt.succeeded = pair is not None
        except TooManyRequestsError:
            await self._record(AuditEvent(Action.LOGIN, Result.THROTTLED, ip=client.ip))
            raise
        if pair is None:
            raise InvalidCredentialsError
        return pair

    async def _check_and_start(self, email: str, password: str, client: Client) -> TokenPair | None:
        user = await self._database.read(lambda session: users.find_by_email(session, email))
        verified = await self._hasher.verify(password, None if user is None else user.password_hash)
        if user is None or not verified or not user.is_active:
            subject = None if user is None else user.id
            await self._record(AuditEvent(Action.LOGIN, Result.FAILURE, subject_id=subject, ip=client.ip))
            return None
        known = await self._upgrade_hash(user, password)
        return await self._database.transaction(lambda session: self._start(session, known, client))

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
        try:
            # Counted per user and not per address: only a holder of the user's token gets here.
            async with self._throttle.attempt(f"user:{user.id}", "any") as attempt:
                attempt.succeeded = await self._hasher.verify(password, user.password_hash)
        except TooManyRequestsError:
            await self._record(self._about(user, action, Result.THROTTLED, client))
            raise
        if not attempt.succeeded:
            await self._record(self._about(user, action, Result.FAILURE, client))
            raise InvalidCurrentPasswordError

    @staticmethod
    def _about(user: User, action: Action, result: Result, client: Client) -> AuditEvent:
        return AuditEvent(action, result, actor_id=user.id, subject_id=user.id, ip=client.ip)

    async def _record(self, event: AuditEvent) -> None:
        await self._database.transaction(lambda session: audit.append(session, event))
