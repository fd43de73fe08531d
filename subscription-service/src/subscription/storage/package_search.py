"""Which packages a name or genres find, without a look at all of them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.domain.packages import PackageQuery, PackageStatus
from subscription.storage.name_parts import PART_BYTES, SHORT_BYTES, after_all_with, codes_of, encoded
from subscription.storage.package_index import GENRE_SETS, genre_term, genres_of_set, name_term
from subscription.storage.tables import (
    package_genres,
    package_name_parts,
    package_search_totals,
    package_version_genres,
    packages,
)


def like_anywhere(needle: str) -> str:
    """A LIKE pattern that finds `needle` anywhere, with `|` as the escape character."""
    return f"%{like_start(needle)}"


def like_start(needle: str) -> str:
    """A LIKE pattern that finds `needle` at the beginning, with `|` as the escape character."""
    for special in "|%_":
        needle = needle.replace(special, f"|{special}")
    return f"{needle}%"


def filters(query: PackageQuery) -> list[ColumnElement[bool]]:
    """What `query` asks of a package's name and genres, as conditions on its row."""
    conditions: list[ColumnElement[bool]] = []
    if query.name:
        conditions.append(packages.c.name.like(like_anywhere(query.name), escape="|"))
    if query.genre_ids:
        held = package_version_genres
        # Not EXISTS, which MariaDB may answer for all packages before it looks at the first.
        found = (
            select(held.c.genre_id)
            .where(
                held.c.package_id == packages.c.id,
                held.c.version == packages.c.version,
                held.c.genre_id.in_(sorted(query.genre_ids)),
            )
            .limit(1)
        )
        conditions.append(found.scalar_subquery().is_not(None))
    return conditions


@dataclass(frozen=True, slots=True)
class Found:
    """How many packages of one status match, and the ids of these and perhaps of others, some of them twice.

    `starting` is how many match by the beginning of their name, as far as that is known; `inside` has the others' ids.
    """

    total: int
    ids: Select[Any]
    starting: int = 0
    inside: Select[Any] | None = None


class PackageSearch:
    """Finds packages in the session's database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def is_complete(self) -> bool:
        """Whether every package is indexed; while one is not, the rows themselves must be looked through."""
        waiting = select(packages.c.id).where(packages.c.is_unindexed == 1).limit(1)
        return (await self._session.execute(waiting)).first() is None

    async def find(self, query: PackageQuery, status: PackageStatus) -> Found:
        """What the name, the genres or both of `query` find among the indexed packages."""
        if not query.name:
            return await self._by_genres(query, status)
        code = encoded(query.name, await codes_of(self._session, set(query.name)))
        if query.genre_ids:
            return await self._by_both(query, status, code)
        return await self._by_name(query, status, code)

    async def _by_genres(self, query: PackageQuery, status: PackageStatus) -> Found:
        table = package_genres
        here = (table.c.status == status.value, table.c.genre_id.in_(sorted(query.genre_ids)))
        ids = select(table.c.package_id).where(*here)
        if len(query.genre_ids) == 1:
            total, _ = await self._kept(status, genre_term(*query.genre_ids))
        else:
            total = await self._any_of(query.genre_ids, status)
        return Found(total, ids)

    async def _any_of(self, genre_ids: frozenset[int], status: PackageStatus) -> int:
        table = package_search_totals
        begin, end = GENRE_SETS
        sets = select(table.c.term, table.c.total).where(
            table.c.status == status.value, table.c.term >= begin, table.c.term < end, table.c.total > 0
        )
        rows = await self._session.execute(sets)
        return sum(int(row.total) for row in rows if not genre_ids.isdisjoint(genres_of_set(row.term)))

    async def _by_name(self, query: PackageQuery, status: PackageStatus, code: bytes) -> Found:
        table = package_name_parts
        here = _in_name(status, code)
        ids = select(table.c.package_id).where(*here)
        if len(code) > PART_BYTES:
            return Found(await self._recounted(query, status, ids), ids)
        if len(code) <= SHORT_BYTES:
            starting, others = await self._kept(status, name_term(code, is_start=True), name_term(code, is_start=False))
        else:
            counts = select(table.c.is_start, func.count().label("n")).where(*here).group_by(table.c.is_start)
            found = {bool(row.is_start): int(row.n) for row in await self._session.execute(counts)}
            starting, others = found.get(True, 0), found.get(False, 0)
        inside = select(table.c.package_id).where(*_in_name(status, code, is_start=False))
        return Found(starting + others, ids, starting, inside)

    async def _by_both(self, query: PackageQuery, status: PackageStatus, code: bytes) -> Found:
        by_name, by_genres = await self._by_name(query, status, code), await self._by_genres(query, status)
        # Those that the rarer of the two finds are looked at one by one.
        ids = min(by_name, by_genres, key=lambda found: found.total).ids
        return Found(await self._recounted(query, status, ids), ids)

    async def _recounted(self, query: PackageQuery, status: PackageStatus, ids: Select[Any]) -> int:
        found = ids.distinct().subquery("found")
        statement = select(func.count()).select_from(packages).join(found, found.c.package_id == packages.c.id)
        return await self._count(statement.where(packages.c.status == status.value, *filters(query)))

    async def _count(self, statement: Select[Any]) -> int:
        return int((await self._session.execute(statement)).scalar_one())

    async def _kept(self, status: PackageStatus, *terms: bytes) -> tuple[int, int]:
        """The sum of the first term's totals and that of the others'."""
        table = package_search_totals
        first = case((table.c.term == terms[0], table.c.total), else_=0)
        statement = select(func.coalesce(func.sum(first), 0), func.coalesce(func.sum(table.c.total), 0)).where(
            table.c.status == status.value, table.c.term.in_(terms)
        )
        mine, every = (await self._session.execute(statement)).one()
        return int(mine), int(every) - int(mine)


def _in_name(status: PackageStatus, code: bytes, is_start: bool | None = None) -> list[ColumnElement[bool]]:
    """Rows of the parts that begin with `code`: one for each package, unless the code is longer than a part."""
    table, wanted = package_name_parts.c, code[:PART_BYTES]
    return [
        table.status == status.value,
        table.is_start.in_([False, True] if is_start is None else [is_start]),
        table.part >= wanted,
        table.part < after_all_with(wanted),
        table.seen < len(wanted),
    ]
