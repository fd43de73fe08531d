"""Accounts: registering, reading, editing and erasing people."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.conditional import require_match
from chassis.errors import ForbiddenError
from chassis.events.sql_outbox import SqlOutbox
from chassis.idempotency import Answer, IdempotencyKeys, IdempotentRequest
from chassis.ids import new_id
from chassis.pagination import PageRequest, Slice
from chassis.sql import Database, database_now
from identity.domain.audit import Action, AuditEntry, AuditEvent, Result
from identity.domain.errors import (
    EmailTakenError,
    LastAdminError,
    ReauthenticationRequiredError,
    UserNotFoundError,
    refused,
)
from identity.domain.events import user_deleted
from identity.domain.passwords import PasswordPolicy
from identity.domain.sessions import Caller, Client, Session
from identity.domain.throttling import RateLimit
from identity.domain.users import Registration, Role, Status, User, UserChange, UserFilter, UserSort
from identity.security.passwords import PasswordHasher
from identity.services.audit import AuditLog
from identity.services.authentication import AuthenticationService
from identity.services.revocation import Revocations
from identity.services.throttle import LoginThrottle, Throttle
from identity.storage import audit, mail_jobs, reset_tokens, sessions, throttles, users
from identity.storage.mail_jobs import MailKind


@dataclass(frozen=True, slots=True)
class PersonalData:
    """All that this service knows about a person."""

    user: User
    sessions: Sequence[Session]
    history: Sequence[AuditEntry]


class AccountService:
    """Who may do what to an account is decided here; every change is recorded in the audit log."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        database: Database,
        audit_log: AuditLog,
        outbox: SqlOutbox,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        throttle: Throttle,
        login_throttle: LoginThrottle,
        authentication: AuthenticationService,
        revocations: Revocations,
        *,
        idempotency: IdempotencyKeys,
        registration_limit: RateLimit,
        reauthentication: timedelta,
    ) -> None:
        self._database = database
        self._audit = audit_log
        self._idempotency = idempotency
        self._outbox = outbox
        self._hasher = hasher
        self._policy = policy
        self._throttle = throttle
        self._login_throttle = login_throttle
        self._authentication = authentication
        self._revocations = revocations
        self._registration_limit = registration_limit
        self._reauthentication = reauthentication

    async def _prepare(self, wanted: Registration, *, role: Role = Role.USER) -> User:
        """An account that is not stored yet; the expensive part, outside of any transaction."""
        if objection := self._policy.objection(wanted.password, email=wanted.email, name=wanted.name):
            raise refused("/password", objection)
        hashed = await self._hasher.hash(wanted.password)
        now = await self._database.read(database_now)
        return User(new_id(), wanted.email, wanted.name, role, Status.ACTIVE, hashed, 1, 0, now, now)

    async def register(
        self,
        registration: Registration,
        client: Client,
        request: IdempotentRequest | None,
        answer: Callable[[User], Answer],
    ) -> Answer:
        """Store a new account and what was answered about it, or give the stored answer to the same request.

        Raises `EmailTakenError`, `InvalidRequestError`, `TooManyRequestsError`, `OverloadedError` and the
        errors of `IdempotencyKeys.once`.
        """
        await self._throttle.require(self._registration_limit, client, Action.REGISTER)
        async with self._audit.refusals(Action.REGISTER, client):
            return await self._register(await self._prepare(registration), client, request, answer)

    async def _register(
        self, user: User, client: Client, request: IdempotentRequest | None, answer: Callable[[User], Answer]
    ) -> Answer:
        async def work(session: AsyncSession) -> Answer:
            async def effect() -> Answer:
                await users.add(session, user)
                await audit.append(
                    session, AuditEvent(Action.REGISTER, Result.SUCCESS, subject_id=user.id, ip=client.ip)
                )
                return answer(user)

            return await self._idempotency.once(session, request, effect)

        return await self._database.transaction(work)

    async def create_admin(self, registration: Registration) -> User:
        """Store a new administrator. Raises `EmailTakenError` and `InvalidRequestError`."""
        user = await self._prepare(registration, role=Role.ADMIN)

        async def work(session: AsyncSession) -> None:
            await users.add(session, user)
            await audit.append(session, AuditEvent(Action.ADMIN_CREATE, Result.SUCCESS, subject_id=user.id))

        await self._database.transaction(work)
        return user

    async def create_first_admin(self, registration: Registration) -> User | None:
        """Store an administrator if there is none; None when there is one.

        Replicas may do this at the same time: the address is unique, so one of them does it. An account that
        has the address already is not promoted, because anybody could have registered it. Raises
        `EmailTakenError` in that case, and `InvalidRequestError` for a password that is not acceptable.
        """
        if await self._database.read(users.has_admin):
            return None
        try:
            return await self.create_admin(registration)
        except EmailTakenError:
            if await self._database.read(users.has_admin):
                return None
            raise

    async def get(self, caller: Caller, user_id: uuid.UUID, client: Client) -> User:
        """An account, for its owner or an administrator. Raises `ForbiddenError`, `UserNotFoundError`."""

        async def work(session: AsyncSession) -> User:
            self._allow(caller, user_id)
            user = await users.find(session, user_id)
            if user is None:
                raise UserNotFoundError
            return user

        return await self._audit.transaction(caller, user_id, Action.USER_READ, client, work)

    async def list_users(self, wanted: UserFilter, sort: UserSort, page: PageRequest) -> Slice[User]:
        return await self._database.read(lambda session: users.list_page(session, wanted, sort, page))

    async def list_statuses(self, ids: Sequence[uuid.UUID]) -> list[tuple[uuid.UUID, Status]]:
        """Id and status of those of `ids` that exist."""
        return await self._database.read(lambda session: users.list_statuses(session, ids))

    async def update(self, caller: Caller, user_id: uuid.UUID, change: UserChange, client: Client) -> User:
        """Edit an account.

        Raises `ForbiddenError`, `UserNotFoundError`, `EmailTakenError`, `LastAdminError`,
        `InvalidCurrentPasswordError`, `PreconditionFailedError`, and `InvalidRequestError` when one's own
        address is to change without the current password.
        """
        if change.email is not None and user_id == caller.user.id:
            async with self._audit.refusals(Action.EMAIL_CHANGE, client, caller.user):
                if change.current_password is None:
                    raise refused("/currentPassword", "is required to change one's own e-mail address")
            await self._authentication.confirm_password(
                caller.user, change.current_password, client, Action.EMAIL_CHANGE
            )
        return await self._audit.transaction(
            caller,
            user_id,
            Action.USER_UPDATE,
            client,
            lambda session: self._update(session, caller, user_id, change, client),
        )

    async def _update(
        self, session: AsyncSession, caller: Caller, user_id: uuid.UUID, change: UserChange, client: Client
    ) -> User:
        self._allow(caller, user_id)
        if change.needs_admin and not caller.user.is_admin:
            raise ForbiddenError("Only an administrator may change role or status. Ask one, or leave them out.")
        user = await self._lock(session, user_id, may_lose_admin=change.needs_admin)
        self._require_state(user, change.if_match)
        wanted = {"name": change.name, "email": change.email, "role": change.role, "status": change.status}
        changed = {key: value for key, value in wanted.items() if value is not None and value != getattr(user, key)}
        if not changed:
            return user
        if change.needs_admin:
            still_admin = (change.role or user.role, change.status or user.status) == (Role.ADMIN, Status.ACTIVE)
            await self._keep_an_admin(session, user, still_admin=still_admin)
        now = await database_now(session)
        await users.change(session, user_id, **changed, updated_at=now)
        await self._follow_up(session, user, changed)
        for action in self._actions(changed):
            await audit.append(session, self._act(caller, user, action, client))
        if "status" in changed and changed["status"] is Status.DISABLED:
            return await self._revocations.end_everything(session, user, now)
        if "role" in changed or "status" in changed:
            return await self._revocations.renew_tokens(session, user, now)
        return await users.find(session, user_id) or user

    async def _follow_up(self, session: AsyncSession, user: User, changed: Mapping[str, object]) -> None:
        if "email" in changed or "status" in changed:
            # Neither a link to the old address nor one from before a disabling opens the account any more.
            await reset_tokens.void(session, user.id)
        if "email" in changed:
            await mail_jobs.add(session, MailKind.EMAIL_CHANGED, user.email)

    @staticmethod
    def _actions(changed: Mapping[str, object]) -> list[Action]:
        named = {
            "name": Action.USER_UPDATE,
            "email": Action.EMAIL_CHANGE,
            "role": Action.ROLE_CHANGE,
            "status": Action.STATUS_CHANGE,
        }
        return [named[key] for key in changed]

    async def delete(self, caller: Caller, user_id: uuid.UUID, client: Client, if_match: str | None = None) -> None:
        """Erase a person here and, by an event, everywhere; what stays is the id in a tombstone.

        Raises `ForbiddenError`, `UserNotFoundError`, `LastAdminError`, `PreconditionFailedError`, and
        `ReauthenticationRequiredError` for oneself when the login was too long ago.
        """
        await self._audit.transaction(
            caller,
            user_id,
            Action.USER_DELETE,
            client,
            lambda session: self._delete(session, caller, user_id, client, if_match),
        )

    async def _delete(
        self, session: AsyncSession, caller: Caller, user_id: uuid.UUID, client: Client, if_match: str | None
    ) -> None:
        self._allow(caller, user_id)
        user = await self._lock(session, user_id, may_lose_admin=True)
        self._require_state(user, if_match)
        now = await database_now(session)
        if user_id == caller.user.id and now - caller.session.created_at >= self._reauthentication:
            raise ReauthenticationRequiredError
        await self._keep_an_admin(session, user, still_admin=False)
        await audit.append(session, self._act(caller, user, Action.USER_DELETE, client))
        await self._idempotency.forget(session, f"/v1/users/{user.id}", user.created_at)
        await mail_jobs.remove_for(session, user.email)
        await throttles.forget_account(session, self._login_throttle.account_key(user.email))
        revision = await users.remove(session, user, now)
        await self._outbox.append(session, user_deleted(user.id, revision))

    async def export(self, caller: Caller, client: Client) -> PersonalData:
        """Everything that is stored about the caller."""

        async def work(session: AsyncSession) -> PersonalData:
            await audit.append(session, self._act(caller, caller.user, Action.USER_EXPORT, client))
            return PersonalData(
                caller.user,
                await sessions.list_all(session, caller.user.id),
                await audit.list_of(session, caller.user.id),
            )

        return await self._database.transaction(work)

    @staticmethod
    def _allow(caller: Caller, user_id: uuid.UUID) -> None:
        # Decided before any look-up, so that the answer does not tell whether the id exists.
        if user_id != caller.user.id and not caller.user.is_admin:
            raise ForbiddenError

    @staticmethod
    def _require_state(user: User, if_match: str | None) -> None:
        # Optional here, unlike for packages: an edit of one member overwrites no other.
        if if_match is not None:
            require_match(if_match, user.etag)

    @staticmethod
    async def _lock(session: AsyncSession, user_id: uuid.UUID, *, may_lose_admin: bool) -> User:
        if may_lose_admin:
            # First all administrators, then the account: everybody takes these locks in one order.
            await users.lock_active_admins(session)
        user = await users.lock(session, user_id)
        if user is None:
            raise UserNotFoundError
        return user

    @staticmethod
    async def _keep_an_admin(session: AsyncSession, user: User, *, still_admin: bool) -> None:
        if not still_admin and await users.lock_active_admins(session) == {user.id}:
            raise LastAdminError

    @staticmethod
    def _act(caller: Caller, user: User, action: Action, client: Client) -> AuditEvent:
        return AuditEvent(action, Result.SUCCESS, actor_id=caller.user.id, subject_id=user.id, ip=client.ip)
