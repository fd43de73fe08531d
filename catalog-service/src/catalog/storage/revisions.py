"""Numbers that grow when what we serve has changed, so that caches know what is out of date."""

from dataclasses import dataclass

from catalog.storage.schema import REVISIONS
from chassis.mongo import MongoDatabase


@dataclass(frozen=True, slots=True)
class Revisions:
    """`movies` grows with every change of what a page of movies shows, `genres` with every change of a genre."""

    movies: int
    genres: int


class RevisionRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._revisions = database[REVISIONS]

    async def current(self) -> Revisions:
        document = await self._revisions.find_one({"_id": "catalog"}) or {}
        return Revisions(int(document.get("movies", 0)), int(document.get("genres", 0)))

    async def advance(self, *, movies: bool = False, genres: bool = False) -> None:
        """To be called after the change is written: what was read before is out of date by then."""
        await self._revisions.update_one({"_id": "catalog"}, {"$inc": {"movies": int(movies), "genres": int(genres)}})
