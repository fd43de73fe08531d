"""Recording acts that change nothing else, refusals above all, in the audit log."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import ForbiddenError, InvalidRequestError, ServiceError
from chassis.sql import Database
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.errors import EmailTakenError, InvalidResetTokenError, LastAdminError, SessionNotFoundError
from identity.domain.sessions import Caller, Client
from identity.domain.users import User
from identity.storage import audit

Outcome = TypeVar("Outcome")
# Answers that mean "you may not" or "not like this"; anything else is a failure of ours and in the process's log.
_REFUSALS = (
    ForbiddenError,
    InvalidRequestError,
    InvalidResetTokenError,
    EmailTakenError,
    LastAdminError,
    SessionNotFoundError,
)


class AuditLog:
    """What succeeds is recorded in the transaction of its effect; this is for what was refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, event: AuditEvent) -> None:
        """Store `event` by itself."""
        await self._database.transaction(lambda session: audit.append(session, event))

    @asynccontextmanager
    async def refusals(self, action: Action, client: Client, user: User | None = None) -> AsyncIterator[None]:
        """Store with which error `action` is refused inside of this block; `user` is who acts on their own account."""
        try:
            yield
        except _REFUSALS as error:
            who = None if user is None else user.id
            event = AuditEvent(action, Result.FAILURE, actor_id=who, subject_id=who, ip=client.ip, detail=error.code)
            await self.record(event)
            raise

    async def refused(
        self, caller: Caller, subject_id: uuid.UUID | None, action: Action, client: Client, error: ServiceError
    ) -> None:
        """Store that `action` of the caller was refused with `error`."""
        await self.record(
            AuditEvent(
                action,
                Result.FAILURE,
                actor_id=caller.user.id,
                subject_id=subject_id,
                ip=client.ip,
                detail=error.code,
            )
        )

    async def transaction(
        self,
        caller: Caller,
        subject_id: uuid.UUID,
        action: Action,
        client: Client,
        work: Callable[[AsyncSession], Awaitable[Outcome]],
    ) -> Outcome:
        """Run `work` in a transaction, and record when it is refused."""
        try:
            return await self._database.transaction(work)
        except _REFUSALS as error:
            await self.refused(caller, subject_id, action, client, error)
            raise
