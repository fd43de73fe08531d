"""Password reset tokens in MySQL."""

import uuid
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from identity.domain.users import User
from identity.storage.tables import reset_tokens, users
from identity.storage.users import to_user


async def replace(
    session: AsyncSession, user_id: uuid.UUID, digest: bytes, now: datetime, expires_at: datetime
) -> None:
    """Store a token as the user's only one: those sent before stop working."""
    await void(session, user_id)
    await session.execute(
        insert(reset_tokens).values(hash=digest, user_id=user_id, created_at=now, expires_at=expires_at)
    )


async def void(session: AsyncSession, user_id: uuid.UUID) -> None:
    """Make every token of the user worthless."""
    await session.execute(delete(reset_tokens).where(reset_tokens.c.user_id == user_id))


async def find_user(session: AsyncSession, digest: bytes, now: datetime) -> User | None:
    """Whose token this is, if it is valid now."""
    statement = (
        select(users)
        .join(reset_tokens, reset_tokens.c.user_id == users.c.id)
        .where(reset_tokens.c.hash == digest, reset_tokens.c.used_at.is_(None), reset_tokens.c.expires_at > now)
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else to_user(row)


async def consume(session: AsyncSession, digest: bytes, now: datetime) -> bool:
    """Spend the token; False when it is unknown, spent or expired. Of many at once one gets True."""
    statement = (
        update(reset_tokens)
        .where(reset_tokens.c.hash == digest, reset_tokens.c.used_at.is_(None), reset_tokens.c.expires_at > now)
        .values(used_at=now)
    )
    return bool((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]
