"""Sessions: who is asking, refreshing, listing and ending."""

import time
import uuid
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import ServiceError
from chassis.pagination import PageRequest, Slice
from chassis.sql import Database, database_now
from chassis.tokens import InvalidTokenError, Principal
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.errors import (
    InvalidRefreshTokenError,
    RefreshConflictError,
    SessionNotFoundError,
    TooManyRequestsError,
)
from identity.domain.sessions import Caller, Client, RefreshVerdict, Session, TokenPair, judge_refresh
from identity.domain.throttling import RateLimit
from identity.domain.users import User
from identity.security.access_tokens import AccessTokenIssuer
from identity.security.tokens import new_refresh_token, token_digest
from identity.services.audit import AuditLog
from identity.services.revocation import Revocations
from identity.storage import audit, sessions, users


class SessionService:
    """`race_window` is how long the token before the live one may show up again without ending the session."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        database: Database,
        audit_log: AuditLog,
        issuer: AccessTokenIssuer,
        revocations: Revocations,
        *,
        idle: timedelta,
        race_window: timedelta,
        refreshes_per_minute: int,
    ) -> None:
        self._database = database
        self._audit = audit_log
        self._issuer = issuer
        self._revocations = revocations
        self._idle = idle
        self._race_window = race_window
        self._limit = RateLimit("refresh", refreshes_per_minute, 60)

    async def authenticate(self, principal: Principal) -> Caller:
        """The live user and session behind a verified access token.

        This service has the sessions, so it does not rely on any deny-list: what has been ended is refused at
        once, and roles count as they are now. Raises `InvalidTokenError`.
        """

        async def find(session: AsyncSession) -> Caller | None:
            return await sessions.find_caller(session, principal.session_id, principal.user_id)

        caller = await self._database.read(find)
        if (
            caller is None
            or caller.session.revoked_at is not None
            or not caller.user.is_active
            or principal.version < caller.user.token_version
        ):
            raise InvalidTokenError
        return caller

    async def refresh(self, refresh_token: str, client: Client) -> TokenPair:
        """Exchange a refresh token for a new pair; of many requests with one token exactly one gets it.

        Raises `RefreshConflictError`, `TooManyRequestsError`, and `InvalidRefreshTokenError`, after which the
        whole session has ended if the token had been used before.
        """
        digest = token_digest(refresh_token)
        arrived = time.monotonic()

        async def work(session: AsyncSession) -> TokenPair | ServiceError:
            return await self._refresh(session, digest, client, arrived)

        outcome = await self._database.transaction(work)
        if isinstance(outcome, TokenPair):
            return outcome
        # Raised only now, because what was written about the refusal has to be committed.
        raise outcome

    async def _refresh(
        self, session: AsyncSession, digest: bytes, client: Client, arrived: float
    ) -> TokenPair | ServiceError:
        token = await sessions.find_refresh_token(session, digest)
        # This lock lines us up with logout, reset and other refreshes: nothing ended comes to life again.
        locked = await sessions.lock(session, token.session_id) if token else None
        user = await users.find(session, locked.user_id) if locked else None
        outcome: TokenPair | ServiceError = InvalidRefreshTokenError()
        action = Action.REFRESH
        if token is not None and locked is not None and user is not None and user.is_active:
            now = await database_now(session)
            # Waiting for the lock is our slowness, not the client's: on a busy machine it must not end a session.
            presented = now - timedelta(seconds=time.monotonic() - arrived)
            verdict = judge_refresh(token, locked, now, presented, self._race_window)
            if verdict is RefreshVerdict.REPLAY:
                await self._revocations.end_session(session, locked, now)
                action = Action.REFRESH_REPLAY
            elif verdict is RefreshVerdict.CONFLICT:
                outcome = RefreshConflictError()
            elif verdict is RefreshVerdict.ROTATE:
                outcome = await self._rotate(session, user, locked, digest, now)
        if isinstance(outcome, ServiceError):
            result = Result.THROTTLED if isinstance(outcome, TooManyRequestsError) else Result.FAILURE
            subject = None if user is None else user.id
            await audit.append(
                session, AuditEvent(action, result, subject_id=subject, ip=client.ip, detail=outcome.code)
            )
        return outcome

    async def _rotate(
        self, session: AsyncSession, user: User, refreshed: Session, digest: bytes, now: datetime
    ) -> TokenPair | ServiceError:
        recent = await sessions.count_refreshes(session, refreshed.id, now - timedelta(minutes=1))
        if recent > self._limit.limit:
            return TooManyRequestsError("refresh", limit=self._limit.limit, window=60, retry_after=10)
        # Unused when it was read, used now: a true race, which the other request has won.
        if not await sessions.use_refresh_token(session, digest, now):
            return RefreshConflictError()
        return await self._next_pair(session, user, refreshed, digest, now)

    async def _next_pair(
        self, session: AsyncSession, user: User, refreshed: Session, parent: bytes, now: datetime
    ) -> TokenPair:
        refresh_token = new_refresh_token()
        expires_at = min(now + self._idle, refreshed.expires_at)
        await sessions.add_refresh_token(session, token_digest(refresh_token), refreshed.id, parent, now, expires_at)
        await sessions.touch(session, refreshed.id, now, now + self._issuer.lifetime)
        access_token = await self._issuer.issue(user, refreshed, now)
        return TokenPair(access_token, refresh_token, int(self._issuer.lifetime.total_seconds()))

    async def log_out(self, caller: Caller, client: Client) -> None:
        """End the caller's session."""
        await self._end(caller, caller.session.id, client, Action.LOGOUT)

    async def end(self, caller: Caller, session_id: uuid.UUID, client: Client) -> None:
        """End one of the caller's sessions; again is no error. Raises `SessionNotFoundError`."""
        async with self._audit.refusals(Action.SESSION_END, client, caller.user):
            if not await self._end(caller, session_id, client, Action.SESSION_END):
                raise SessionNotFoundError

    async def _end(self, caller: Caller, session_id: uuid.UUID, client: Client, action: Action) -> bool:
        async def work(session: AsyncSession) -> bool:
            ended = await sessions.lock(session, session_id)
            if ended is None or ended.user_id != caller.user.id:
                return False
            if ended.revoked_at is None:
                await self._revocations.end_session(session, ended, await database_now(session))
                await audit.append(session, self._act(caller, action, client))
            return True

        return await self._database.transaction(work)

    async def end_all(self, caller: Caller, client: Client) -> None:
        """End every session of the caller, this one as well."""

        async def work(session: AsyncSession) -> None:
            user = await users.lock(session, caller.user.id)
            if user is not None:
                await self._revocations.end_everything(session, user, await database_now(session))
                await audit.append(session, self._act(caller, Action.SESSIONS_END, client))

        await self._database.transaction(work)

    async def list_own(self, caller: Caller, page: PageRequest) -> Slice[Session]:
        """The caller's sessions that are still good for something, newest first."""

        async def work(session: AsyncSession) -> Slice[Session]:
            now = await database_now(session)
            return await sessions.list_live(session, caller.user.id, now, now - self._idle, page)

        return await self._database.read(work)

    @staticmethod
    def _act(caller: Caller, action: Action, client: Client) -> AuditEvent:
        return AuditEvent(action, Result.SUCCESS, actor_id=caller.user.id, subject_id=caller.user.id, ip=client.ip)
