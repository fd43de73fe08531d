"""Keeping the copy of the catalog's genres."""

from chassis.sql import Database
from subscription.domain.genres import Genre
from subscription.storage.genres import GenreRepository


class GenreService:
    """The names and states that packages show."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def apply(self, genre: Genre, revision: int) -> None:
        """Store what an event says, unless a newer one has been stored."""
        await self._database.transaction(lambda session: GenreRepository(session).apply(genre, revision))
