"""Totals of rows, kept in the transaction of each change so that a page need not count a million rows."""

import random
from collections.abc import Mapping, Sequence

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.domain.packages import PackageStatus
from subscription.storage.tables import row_totals

_SHARDS = 16


def package_total(status: PackageStatus) -> str:
    """The name of the total of packages of a status."""
    return f"packages.{status.value}"


def sum_of(names: Sequence[str]) -> ScalarSelect[int]:
    """The sum of the named totals, as part of a statement."""
    return select(func.coalesce(func.sum(row_totals.c.total), 0)).where(row_totals.c.name.in_(names)).scalar_subquery()


class TotalRepository:
    """Named totals of the session's database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, changes: Mapping[str, int]) -> None:
        """Add to each named total. The last statement of a transaction, because every writer shares these rows."""
        shard = random.randrange(_SHARDS)  # noqa: S311 - spreads load, no secret
        rows = [{"name": n, "shard": shard, "total": by} for n, by in sorted(changes.items()) if by]
        if rows:
            statement = insert(row_totals)
            await self._session.execute(
                statement.on_duplicate_key_update(total=row_totals.c.total + statement.inserted.total), rows
            )

    async def sum(self, names: Sequence[str]) -> int:
        """The sum of the named totals."""
        return int((await self._session.execute(select(sum_of(names)))).scalar_one())
