"""Stored answers to requests with an Idempotency-Key."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.idempotency import IdempotentRequest
from subscription.storage.tables import idempotency_keys


async def is_answered(session: AsyncSession, request: IdempotentRequest) -> bool:
    """Whether an answer is stored. A plain read: inserting the key to find out would make repetitions deadlock."""
    statement = select(idempotency_keys.c.slot).where(idempotency_keys.c.slot == request.slot)
    return (await session.execute(statement)).first() is not None
