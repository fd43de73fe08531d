"""The copy of the catalog's genres, and the genres of package versions."""

import uuid
from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import case, func, select
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.domain.genres import Genre, GenreStatus
from subscription.storage.tables import genres, package_version_genres

VersionKey = tuple[uuid.UUID, int]
"""A package's id and the number of one of its versions."""


class GenreRepository:
    """Genres in the session's database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def learn(self, found: Iterable[Genre]) -> None:
        """Store what the catalog answered, where no event (which carries a revision) has told more."""
        offered = {genre.id: genre for genre in found}
        # Most are known already, and rows that every package uses should not be locked for nothing.
        known = await self.find(offered)
        await self._upsert([(genre, 0) for genre in offered.values() if known.get(genre.id) != genre])

    async def apply(self, genre: Genre, revision: int) -> None:
        """Store the state that an event carries, unless a newer one is stored."""
        await self._upsert([(genre, revision)])

    async def _upsert(self, states: Sequence[tuple[Genre, int]]) -> None:
        if not states:
            return
        statement = insert(genres)
        offered = statement.inserted
        newer = offered.revision >= genres.c.revision
        rows = [
            {"id": genre.id, "name": genre.name, "status": genre.status.value, "revision": revision}
            for genre, revision in sorted(states, key=lambda state: state[0].id)
        ]
        # A list, because assignments happen from left to right: the revision decides and so changes last.
        update = statement.on_duplicate_key_update(
            [
                ("name", case((newer, offered.name), else_=genres.c.name)),
                ("status", case((newer, offered.status), else_=genres.c.status)),
                ("revision", func.greatest(offered.revision, genres.c.revision)),
            ]
        )
        await self._session.execute(update, rows)

    async def find(self, ids: Collection[int]) -> dict[int, Genre]:
        """The known genres among `ids`."""
        if not ids:
            return {}
        rows = await self._session.execute(select(genres).where(genres.c.id.in_(sorted(ids))))
        return {row.id: Genre(row.id, row.name, GenreStatus(row.status)) for row in rows}

    async def of_versions(self, keys: Collection[VersionKey]) -> dict[VersionKey, tuple[Genre, ...]]:
        """The genres of each package version, in ascending id."""
        found: dict[VersionKey, list[Genre]] = {key: [] for key in keys}
        if not found:
            return {}
        held = package_version_genres
        # Two INs instead of pairs: MariaDB finds no range in a row constructor, and the surplus is small.
        statement = (
            select(held.c.package_id, held.c.version, genres.c.id, genres.c.name, genres.c.status)
            .join(genres, genres.c.id == held.c.genre_id)
            .where(held.c.package_id.in_({key[0] for key in keys}), held.c.version.in_({key[1] for key in keys}))
            .order_by(genres.c.id)
        )
        for row in await self._session.execute(statement):
            key = (row.package_id, row.version)
            if key in found:
                found[key].append(Genre(row.id, row.name, GenreStatus(row.status)))
        return {key: tuple(listed) for key, listed in found.items()}
