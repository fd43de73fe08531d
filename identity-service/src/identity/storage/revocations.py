"""What was ended lately, in MySQL."""

import uuid
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from identity.domain.sessions import Session
from identity.domain.users import User
from identity.storage.sessions import to_session
from identity.storage.tables import deleted_users, sessions, users
from identity.storage.users import to_user


async def list_ended_sessions(session: AsyncSession, since: datetime) -> list[Session]:
    statement = select(sessions).where(sessions.c.revoked_at > since).order_by(sessions.c.id)
    return [to_session(row) for row in await session.execute(statement)]


async def list_changed_users(session: AsyncSession, since: datetime) -> list[User]:
    statement = select(users).where(users.c.tokens_revoked_at > since).order_by(users.c.id)
    return [to_user(row) for row in await session.execute(statement)]


async def list_deleted_users(session: AsyncSession, since: datetime) -> list[uuid.UUID]:
    statement = select(deleted_users.c.id).where(deleted_users.c.deleted_at > since).order_by(deleted_users.c.id)
    return list((await session.execute(statement)).scalars())


async def deleted_at_revision(session: AsyncSession, user_id: uuid.UUID) -> int | None:
    """The revision of the user's deletion, if there was one."""
    statement = select(deleted_users.c.revision).where(deleted_users.c.id == user_id)
    return (await session.execute(statement)).scalar_one_or_none()


async def list_tombstones(session: AsyncSession, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, int]]:
    """Id and revision of the next deletions behind the id `after`."""
    statement = select(deleted_users.c.id, deleted_users.c.revision).order_by(deleted_users.c.id).limit(limit)
    if after is not None:
        statement = statement.where(deleted_users.c.id > after)
    return [(row.id, row.revision) for row in await session.execute(statement)]
