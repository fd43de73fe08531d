"""Recorded moves of subscribers in the database."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.domain.moves import SubscriberMove
from subscription.storage.tables import subscriber_moves


class SubscriberMoveRepository:
    """Moves in the session's database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def insert(self, move: SubscriberMove, requested_by: uuid.UUID, now: datetime) -> None:
        """Record a move that has yet to be made."""
        await self._session.execute(
            insert(subscriber_moves).values(
                id=move.id,
                package_id=move.package_id,
                from_version=move.from_version,
                to_version=move.to_version,
                requested_by=requested_by,
                created_at=now,
                progressed_at=now,
            )
        )

    async def find_for_batch(self, move_id: uuid.UUID) -> SubscriberMove:
        """The move, locked: one batch of it at a time."""
        statement = select(subscriber_moves).where(subscriber_moves.c.id == move_id).with_for_update()
        return _move((await self._session.execute(statement)).one())

    async def record_batch(self, move: SubscriberMove, moved: int, now: datetime, *, finished: bool) -> None:
        """Add a batch to the (locked) move."""
        await self._session.execute(
            update(subscriber_moves)
            .where(subscriber_moves.c.id == move.id)
            .values(moved=subscriber_moves.c.moved + moved, progressed_at=now, finished_at=now if finished else None)
        )

    async def find_stalled(self, now: datetime, silent_for: timedelta) -> list[uuid.UUID]:
        """Unfinished moves that nobody seems to be working on, oldest first."""
        statement = (
            select(subscriber_moves.c.id)
            .where(subscriber_moves.c.finished_at.is_(None), subscriber_moves.c.progressed_at <= now - silent_for)
            .order_by(subscriber_moves.c.progressed_at)
            .limit(100)
        )
        return list((await self._session.execute(statement)).scalars())


def _move(row: Row[Any]) -> SubscriberMove:
    return SubscriberMove(
        id=row.id,
        package_id=row.package_id,
        from_version=row.from_version,
        to_version=row.to_version,
        moved=row.moved,
        is_finished=row.finished_at is not None,
    )
