"""The search's tables, which follow the packages: written with each change, and later for what others have changed."""

import random
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, and_, delete, select, update
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.storage.name_parts import NamePart, codes_of, parts_of
from subscription.storage.tables import (
    package_genres,
    package_name_parts,
    package_search_totals,
    package_version_genres,
    packages,
)

_SHARDS = 16
Term = tuple[str, bytes]
"""A status and what is counted among its packages."""


def name_term(code: bytes, *, is_start: bool) -> bytes:
    """The total of the names that begin with a short text, or have it elsewhere only."""
    return (b"s" if is_start else b"n") + code


def genre_term(genre_id: int) -> bytes:
    """The total of the packages of a genre."""
    return b"g" + genre_id.to_bytes(4, "big")


REVISION = b"r"
"""Grows with every change of a status's packages, by a random amount: two states of them never have the same number,
not even where a backup has been restored in between."""
GENRE_SETS = (b"G", b"H")
"""The range of the totals of packages with just these genres: any of some genres is a sum over few sets."""


def genre_set_term(genre_ids: Iterable[int]) -> bytes:
    """The total of the packages with these genres and no others."""
    return GENRE_SETS[0] + b"".join(genre_id.to_bytes(4, "big") for genre_id in sorted(genre_ids))


def genres_of_set(term: bytes) -> frozenset[int]:
    """The genres that `genre_set_term` was made of."""
    return frozenset(int.from_bytes(term[begin : begin + 4], "big") for begin in range(1, len(term), 4))


class PackageIndex:
    """Keeps what `PackageSearch` reads, in the session's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add_unindexed(self, limit: int) -> int:
        """Index up to `limit` packages that a process without the search has written; how many."""
        statement = (
            select(packages.c.id)
            .where(packages.c.is_unindexed == 1)
            .order_by(packages.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        found = (await self._session.execute(statement)).scalars().all()
        if found:
            await self.add(found)
        return len(found)

    async def add(self, package_ids: Collection[uuid.UUID]) -> None:
        """Make the search find these (locked) packages as they are now.

        Near the end of a transaction, because the totals are rows that every writer shares.
        """
        columns = (packages.c.id, packages.c.status, packages.c.name, packages.c.indexed_status)
        rows = (await self._session.execute(select(*columns).where(packages.c.id.in_(package_ids)))).all()
        changes = await self._replace(package_name_parts, package_ids, await self._parts(rows), _part_terms)
        changes.update(await self._replace(package_genres, package_ids, await self._genres(rows), _genre_terms))
        await self._session.execute(
            update(packages)
            .where(packages.c.id.in_(package_ids))
            .values(indexed_version=packages.c.version, indexed_status=packages.c.status)
        )
        for status in {row.status for row in rows} | {row.indexed_status for row in rows if row.indexed_status}:
            changes[status, REVISION] = random.randint(1, 2**32)  # noqa: S311 - need not be hard to guess
        await self._add_totals(changes)

    async def _replace(
        self,
        table: Table,
        package_ids: Collection[uuid.UUID],
        wanted: Sequence[Mapping[str, Any]],
        terms_of: Callable[[Sequence[Mapping[str, Any]]], Counter[Term]],
    ) -> Counter[Term]:
        """Make `wanted` the rows of these packages; what that adds to the totals."""
        mine = table.c.package_id.in_(package_ids)
        present = [dict(row) for row in (await self._session.execute(select(table).where(mine))).mappings()]
        changes = terms_of(wanted)
        changes.subtract(terms_of(present))
        # Most edits leave the name or the genres as they are.
        if {frozenset(row.items()) for row in present} != {frozenset(row.items()) for row in wanted}:
            if present:
                await self._session.execute(delete(table).where(mine))
            if wanted:
                await self._session.execute(insert(table), wanted)
        return changes

    async def _parts(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        codes = await codes_of(self._session, {character for row in rows for character in row.name})
        return [
            {
                "status": row.status,
                "is_start": part.is_start,
                "part": part.code,
                "package_id": row.id,
                "seen": part.seen,
            }
            for row in rows
            for part in parts_of(row.name, codes)
        ]

    async def _genres(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        held, statuses = package_version_genres, {row.id: row.status for row in rows}
        statement = (
            select(held.c.package_id, held.c.genre_id)
            .join(packages, and_(packages.c.id == held.c.package_id, packages.c.version == held.c.version))
            .where(packages.c.id.in_(statuses.keys()))
        )
        return [
            {"status": statuses[row.package_id], "genre_id": row.genre_id, "package_id": row.package_id}
            for row in await self._session.execute(statement)
        ]

    async def _add_totals(self, changes: Counter[Term]) -> None:
        shard = random.randrange(_SHARDS)  # noqa: S311 - spreads load, no secret
        # In one order, so that two transactions never wait for each other. Sets of genres are all read at once, and
        # seldom written by two at a time: they have one shard only.
        rows = [
            {"status": status, "term": term, "shard": 0 if term.startswith(GENRE_SETS[0]) else shard, "total": by}
            for (status, term), by in sorted(changes.items())
            if by
        ]
        if rows:
            statement = insert(package_search_totals)
            added = package_search_totals.c.total + statement.inserted.total
            await self._session.execute(statement.on_duplicate_key_update(total=added), rows)


def _part_terms(rows: Sequence[Mapping[str, Any]]) -> Counter[Term]:
    return Counter(
        (row["status"], name_term(code, is_start=row["is_start"]))
        for row in rows
        for code in NamePart(row["part"], row["seen"], row["is_start"]).short_terms()
    )


def _genre_terms(rows: Sequence[Mapping[str, Any]]) -> Counter[Term]:
    sets: dict[tuple[str, uuid.UUID], list[int]] = {}
    for row in rows:
        sets.setdefault((row["status"], row["package_id"]), []).append(row["genre_id"])
    found = Counter((row["status"], genre_term(row["genre_id"])) for row in rows)
    found.update((status, genre_set_term(genre_ids)) for (status, _), genre_ids in sets.items())
    return found
