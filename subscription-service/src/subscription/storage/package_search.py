"""Which packages a name or genres find, without a look at all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.domain.packages import PackageQuery, PackageStatus
from subscription.storage.name_parts import PART_BYTES, SHORT_BYTES, after_all_with, codes_of, encoded
from subscription.storage.package_index import GENRE_SETS, REVISION, genre_term, genres_of_set, name_term
from subscription.storage.search_counts import Counts, SearchCounts
from subscription.storage.tables import (
    package_genres,
    package_name_parts,
    package_search_totals,
    package_version_genres,
    packages,
)
from subscription.storage.totals import package_total, sum_of


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
class Indexed:
    """How many packages of one status there are, and the revision of what the search knows of them."""

    population: int
    revision: int


@dataclass(frozen=True, slots=True)
class Matches:
    """How many packages match, the ids of these and perhaps of others, and what it takes to find them.

    `candidates` is how many ids there are, at most. A walk in the list's order passes `among / total` packages for each
    that matches.
    """

    total: int
    ids: Select[Any]
    candidates: int
    among: int


@dataclass(frozen=True, slots=True)
class Found:
    """What matches in one status: all of it and, where a text is looked for, by whether the name begins with it."""

    every: Matches
    starting: Matches | None = None
    others: Matches | None = None


class PackageSearch:
    """Finds packages in the session's database."""

    def __init__(self, session: AsyncSession, counts: SearchCounts) -> None:
        self._session = session
        self._counts = counts

    async def indexed(self) -> Mapping[PackageStatus, Indexed] | None:
        """What is indexed; None while a package is not: then the rows themselves must be looked through."""
        waiting = select(packages.c.id).where(packages.c.is_unindexed == 1).limit(1).scalar_subquery()
        columns: list[ColumnElement[Any]] = [waiting.is_not(None)]
        for status in PackageStatus:
            columns += [sum_of([package_total(status)]), self._sum(status, REVISION)]
        is_waiting, *numbers = (await self._session.execute(select(*columns))).one()
        if is_waiting:
            return None
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return {status: Indexed(*map(int, pair)) for status, pair in zip(PackageStatus, pairs, strict=True)}

    async def find(self, query: PackageQuery, status: PackageStatus, indexed: Indexed) -> Found:
        """What the name, the genres or both of `query` find among the packages of a status.

        What was counted at the revision of `indexed` is not counted again.
        """
        if not query.name:
            return Found(await self._by_genres(query, status, indexed))
        code = encoded(query.name, await codes_of(self._session, set(query.name)))
        by_name = await self._by_name(query, status, indexed, code)
        return await self._by_both(query, status, indexed, code, by_name) if query.genre_ids else by_name

    async def _by_genres(self, query: PackageQuery, status: PackageStatus, indexed: Indexed) -> Matches:
        async def count() -> Counts:
            if len(query.genre_ids) > 1:
                return 0, await self._any_of(query.genre_ids, status)
            statement = select(self._sum(status, genre_term(*query.genre_ids)))
            return 0, int((await self._session.execute(statement)).scalar_one())

        _, total = await self._counts.get((status, query.genre_ids), indexed.revision, count)
        table = package_genres
        here = (table.c.status == status.value, table.c.genre_id.in_(sorted(query.genre_ids)))
        return Matches(total, select(table.c.package_id).where(*here), total, indexed.population)

    async def _any_of(self, genre_ids: frozenset[int], status: PackageStatus) -> int:
        table = package_search_totals
        begin, end = GENRE_SETS
        sets = select(table.c.term, table.c.total).where(
            table.c.status == status.value, table.c.term >= begin, table.c.term < end, table.c.total > 0
        )
        rows = await self._session.execute(sets)
        return sum(int(row.total) for row in rows if not genre_ids.isdisjoint(genres_of_set(row.term)))

    async def _by_name(self, query: PackageQuery, status: PackageStatus, indexed: Indexed, code: bytes) -> Found:
        table = package_name_parts

        def ids(*is_start: bool) -> Select[Any]:
            return select(table.c.package_id).where(*_in_name(status, code, is_start))

        async def count() -> Counts:
            if len(code) > PART_BYTES:
                return await self._look_at(query, status, ids(True, False))
            if len(code) <= SHORT_BYTES:
                terms = (name_term(code, is_start=True), name_term(code, is_start=False))
                starting, others = (await self._session.execute(select(*(self._sum(status, t) for t in terms)))).one()
                return int(starting), int(others)
            counts = select(table.c.is_start, func.count().label("n")).where(*_in_name(status, code, (True, False)))
            rows = await self._session.execute(counts.group_by(table.c.is_start))
            found = {bool(row.is_start): int(row.n) for row in rows}
            return found.get(True, 0), found.get(False, 0)

        starting, others = await self._counts.get((status, query.name), indexed.revision, count)
        return Found(
            Matches(starting + others, ids(True, False), starting + others, indexed.population),
            # They lie together.
            Matches(starting, ids(True), starting, starting),
            Matches(others, ids(False), others, indexed.population),
        )

    async def _by_both(
        self, query: PackageQuery, status: PackageStatus, indexed: Indexed, code: bytes, by_name: Found
    ) -> Found:
        by_genres = await self._by_genres(query, status, indexed)
        candidates = min(by_genres.total, by_name.every.total)

        def ids(*is_start: bool) -> Select[Any]:
            if candidates == by_genres.total:
                return by_genres.ids
            # From each of the few names to its genres, in the index alone.
            part, held = package_name_parts, package_genres
            same = and_(
                held.c.status == part.c.status,
                held.c.genre_id.in_(sorted(query.genre_ids)),
                held.c.package_id == part.c.package_id,
            )
            joined = select(part.c.package_id).select_from(part.join(held, same)).prefix_with("STRAIGHT_JOIN")
            return joined.where(*_in_name(status, code, is_start))

        async def count() -> Counts:
            return await self._look_at(query, status, ids(True, False))

        search = (status, query.name, query.genre_ids)
        starting, others = await self._counts.get(search, indexed.revision, count)
        population, beginning = indexed.population, by_name.starting
        return Found(
            Matches(starting + others, ids(True, False), candidates, population),
            Matches(starting, ids(True), candidates, beginning.among if beginning else population),
            Matches(others, ids(False), candidates, population),
        )

    async def _look_at(self, query: PackageQuery, status: PackageStatus, ids: Select[Any]) -> Counts:
        """How many of these packages match, when they are looked at one by one."""
        found = ids.distinct().subquery("found")
        begins = packages.c.name.like(like_start(query.name or ""), escape="|")
        statement = (
            select(func.count(case((begins, 1))), func.count())
            # In this order of tables: the optimiser might read all packages for a few.
            .prefix_with("STRAIGHT_JOIN")
            .select_from(found.join(packages, packages.c.id == found.c.package_id))
            .where(packages.c.status == status.value, *filters(query))
        )
        starting, every = (await self._session.execute(statement)).one()
        return int(starting), int(every) - int(starting)

    def _sum(self, status: PackageStatus, term: bytes) -> ScalarSelect[Any]:
        table = package_search_totals
        here = (table.c.status == status.value, table.c.term == term)
        return select(func.coalesce(func.sum(table.c.total), 0)).where(*here).scalar_subquery()


def _in_name(status: PackageStatus, code: bytes, is_start: Sequence[bool]) -> list[ColumnElement[bool]]:
    """Rows of the parts that begin with `code`: one for each package, unless the code is longer than a part."""
    table, wanted = package_name_parts.c, code[:PART_BYTES]
    return [
        table.status == status.value,
        table.is_start.in_(is_start),
        table.part >= wanted,
        table.part < after_all_with(wanted),
        table.seen < len(wanted),
    ]
