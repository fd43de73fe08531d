"""Changing a password, and recovering an account whose password is lost."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.sql import Database, database_now
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.errors import InvalidCurrentPasswordError, InvalidResetTokenError, refused
from identity.domain.passwords import PasswordPolicy
from identity.domain.sessions import Caller, Client
from identity.domain.throttling import RateLimit
from identity.domain.users import User
from identity.security.passwords import PasswordHasher
from identity.security.tokens import new_reset_token, token_digest
from identity.services.audit import AuditLog
from identity.services.authentication import AuthenticationService
from identity.services.revocation import Revocations
from identity.services.throttle import LoginThrottle, Throttle
from identity.storage import audit, mail_jobs, reset_tokens, throttles, users
from identity.storage.mail_jobs import MailKind


class PasswordService:
    """`forgot_address_limit` is answered with 429, `forgot_email_limit` with silence: it would be an oracle."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        database: Database,
        audit_log: AuditLog,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        throttle: Throttle,
        login_throttle: LoginThrottle,
        authentication: AuthenticationService,
        revocations: Revocations,
        *,
        forgot_address_limit: RateLimit,
        forgot_email_limit: RateLimit,
        reset_limit: RateLimit,
        reset_lifetime: timedelta,
    ) -> None:
        self._database = database
        self._audit = audit_log
        self._hasher = hasher
        self._policy = policy
        self._throttle = throttle
        self._login_throttle = login_throttle
        self._authentication = authentication
        self._revocations = revocations
        self._forgot_address_limit = forgot_address_limit
        self._forgot_email_limit = forgot_email_limit
        self._reset_limit = reset_limit
        self.reset_lifetime = reset_lifetime

    async def change(self, caller: Caller, current: str, new: str, client: Client) -> None:
        """Replace the caller's password and end all other sessions.

        Raises `InvalidRequestError` for a new password that is not acceptable, `InvalidCurrentPasswordError`,
        `TooManyRequestsError`, `OverloadedError`.
        """
        user = caller.user
        async with self._audit.refusals(Action.PASSWORD_CHANGE, client, user):
            if objection := self._policy.objection(new, email=user.email, name=user.name):
                raise refused("/newPassword", objection)
        await self._authentication.confirm_password(user, current, client, Action.PASSWORD_CHANGE)
        hashed = await self._hasher.hash(new)

        async def work(session: AsyncSession) -> None:
            # Compare and set: of two changes at once one finds that its current password is not current.
            if not await users.replace_password(session, user.id, user.password_hash, hashed):
                raise InvalidCurrentPasswordError
            now = await database_now(session)
            await users.change(session, user.id, updated_at=now)
            await self._revocations.end_other_sessions(session, user.id, caller.session.id, now)
            await self._finish(session, user, Action.PASSWORD_CHANGE, client)

        async with self._audit.refusals(Action.PASSWORD_CHANGE, client, user):
            await self._database.transaction(work)

    async def forgot(self, email: str, client: Client) -> None:
        """Take note that somebody wants to recover the account of `email`.

        Whether there is one is looked up by the worker: here known and unknown cannot differ in any way.
        Raises `TooManyRequestsError` when the client's address asks too often, whatever it asks.
        """
        await self._throttle.require(self._forgot_address_limit, client, Action.PASSWORD_FORGOT)

        async def work(session: AsyncSession) -> None:
            allowed = await self._throttle.allows(session, self._forgot_email_limit, email)
            if allowed:
                await mail_jobs.add(session, MailKind.PASSWORD_RESET, email)
            result = Result.SUCCESS if allowed else Result.THROTTLED
            await audit.append(session, AuditEvent(Action.PASSWORD_FORGOT, result, ip=client.ip))

        await self._database.transaction(work)

    async def issue_reset_token(self, email: str) -> tuple[User, str] | None:
        """A new reset token for the active account of `email`; those issued before stop working.

        Only the worker calls this, and the token's only way out is the mail.
        """
        token = new_reset_token()

        async def work(session: AsyncSession) -> User | None:
            # Locked, or a change of address at this moment would leave a token that goes to the old one.
            user = await users.lock_by_email(session, email)
            if user is None or not user.is_active:
                return None
            now = await database_now(session)
            await reset_tokens.replace(session, user.id, token_digest(token), now, now + self.reset_lifetime)
            return user

        user = await self._database.transaction(work)
        return None if user is None else (user, token)

    async def reset(self, token: str, new: str, client: Client) -> None:
        """Set a new password with a token from a mail, and end everything issued under the old one.

        A password that is not acceptable does not spend the token. Raises `InvalidResetTokenError`,
        `InvalidRequestError`, `TooManyRequestsError`, `OverloadedError`.
        """
        await self._throttle.require(self._reset_limit, client, Action.PASSWORD_RESET)
        async with self._audit.refusals(Action.PASSWORD_RESET, client):
            await self._check_and_reset(token, new, client)

    async def _check_and_reset(self, token: str, new: str, client: Client) -> None:
        if objection := self._policy.objection(new):
            raise refused("/newPassword", objection)
        digest = token_digest(token)
        user = await self._database.read(lambda session: self._owner(session, digest))
        if user is None:
            raise InvalidResetTokenError
        if objection := self._policy.objection(new, email=user.email, name=user.name):
            raise refused("/newPassword", objection)
        hashed = await self._hasher.hash(new)
        await self._database.transaction(lambda session: self._reset(session, user, digest, hashed, client))

    @staticmethod
    async def _owner(session: AsyncSession, digest: bytes) -> User | None:
        user = await reset_tokens.find_user(session, digest, await database_now(session))
        return user if user is not None and user.is_active else None

    async def _reset(self, session: AsyncSession, found: User, digest: bytes, hashed: str, client: Client) -> None:
        user = await users.lock(session, found.id)
        now: datetime = await database_now(session)
        if user is None or not user.is_active or not await reset_tokens.consume(session, digest, now):
            raise InvalidResetTokenError
        await users.change(session, user.id, password_hash=hashed, updated_at=now)
        await self._revocations.end_everything(session, user, now)
        await self._finish(session, user, Action.PASSWORD_RESET, client)

    async def _finish(self, session: AsyncSession, user: User, action: Action, client: Client) -> None:
        await reset_tokens.void(session, user.id)
        await throttles.forget_failures(session, self._login_throttle.account_key(user.email))
        await mail_jobs.add(session, MailKind.PASSWORD_CHANGED, user.email)
        await audit.append(
            session, AuditEvent(action, Result.SUCCESS, actor_id=user.id, subject_id=user.id, ip=client.ip)
        )
