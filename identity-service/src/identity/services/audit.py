"""Recording acts that change nothing else, refusals above all, in the audit log."""

import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import ForbiddenError, ServiceError
from chassis.sql import Database
from identity.domain.audit import Action, AuditEvent, Result
from identity.domain.errors import EmailTakenError, LastAdminError
from identity.domain.sessions import Caller, Client
from identity.storage import audit

Outcome = TypeVar("Outcome")


class AuditLog:
    """What succeeds is recorded in the transaction of its effect; this is for what was refused."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, event: AuditEvent) -> None:
        """Store `event` by itself."""
        await self._database.transaction(lambda session: audit.append(session, event))

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
        """Run `work` in a transaction, and record when it is refused as not allowed or in conflict."""
        try:
            return await self._database.transaction(work)
        except (ForbiddenError, LastAdminError, EmailTakenError) as error:
            await self.refused(caller, subject_id, action, client, error)
            raise
