"""Signing keys in MySQL."""

import json
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from identity.domain.signing_keys import StoredKey
from identity.storage.tables import signing_keys


async def list_published(session: AsyncSession, now: datetime) -> list[StoredKey]:
    """The keys that belong into the key set now, oldest first."""
    statement = (
        select(signing_keys)
        .where(signing_keys.c.removes_at.is_(None) | (signing_keys.c.removes_at > now))
        .order_by(signing_keys.c.number)
    )
    return [
        StoredKey(
            row.kid,
            row.number,
            json.loads(row.public_jwk),
            row.private_key,
            row.created_at,
            row.activates_at,
            row.removes_at,
        )
        for row in await session.execute(statement)
    ]


async def add_next(session: AsyncSession, key: StoredKey) -> bool:
    """Store `key`; False when another process has stored one with this number."""
    try:
        async with session.begin_nested():
            await session.execute(
                insert(signing_keys).values(
                    kid=key.kid,
                    number=key.number,
                    public_jwk=json.dumps(key.public_jwk),
                    private_key=key.wrapped_private_key,
                    created_at=key.created_at,
                    activates_at=key.activates_at,
                )
            )
    except IntegrityError:
        return False
    return True


async def retire_before(session: AsyncSession, number: int, removes_at: datetime) -> None:
    """Set when the keys before `number` leave the key set, where that is not set yet."""
    await session.execute(
        update(signing_keys)
        .where(signing_keys.c.number < number, signing_keys.c.removes_at.is_(None))
        .values(removes_at=removes_at)
    )


async def highest_number(session: AsyncSession) -> int:
    """The number of the newest key ever made; 0 for none."""
    statement = select(signing_keys.c.number).order_by(signing_keys.c.number.desc()).limit(1)
    return (await session.execute(statement)).scalar_one_or_none() or 0
