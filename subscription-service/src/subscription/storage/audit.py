"""Who did what to which package or subscription. Holds ids only; operators read it with SQL."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from chassis import context
from subscription.storage.tables import audit_entries


async def record(  # noqa: PLR0913 - these are the columns
    session: AsyncSession,
    action: str,
    subject_id: uuid.UUID,
    now: datetime,
    *,
    actor_id: uuid.UUID | None,
    details: Mapping[str, Any],
) -> None:
    """Add an entry in the session's transaction; no actor means that an event or a job did it."""
    await session.execute(
        insert(audit_entries).values(
            at=now,
            actor_id=actor_id,
            action=action,
            subject_id=subject_id,
            details=orjson.dumps(dict(details)).decode(),
            request_id=context.request_id.get(),
        )
    )
