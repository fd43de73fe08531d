"""The audit log in MySQL: rows are added and, after their retention, swept; nothing changes one."""

import uuid

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import context
from identity.domain.audit import AuditEntry, AuditEvent
from identity.storage.tables import audit_events

_MAX_EXPORTED = 10_000


async def append(session: AsyncSession, event: AuditEvent) -> None:
    """Record `event` in the session's transaction."""
    await session.execute(
        insert(audit_events).values(
            action=event.action,
            result=event.result,
            actor_id=event.actor_id,
            subject_id=event.subject_id,
            ip=event.ip,
            request_id=context.request_id.get(),
            detail=event.detail,
        )
    )


async def list_of(session: AsyncSession, subject_id: uuid.UUID) -> list[AuditEntry]:
    """What was recorded about a user, newest first, ten thousand entries at most."""
    statement = (
        select(audit_events)
        .where(audit_events.c.subject_id == subject_id)
        .order_by(audit_events.c.id.desc())
        .limit(_MAX_EXPORTED)
    )
    rows = await session.execute(statement)
    return [AuditEntry(row.at, row.action, row.result, row.ip, row.detail) for row in rows]
