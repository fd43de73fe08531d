"""The present names of genres, apart from the histories that mention them.

A history stores genre ids only, so a rename is one write however many films it concerns, and a marking that
races with a rename has nothing to get wrong.
"""

from collections.abc import Iterable, Mapping

from pymongo.errors import DuplicateKeyError

from chassis.mongo import MongoDatabase, translate_outage
from watch.domain.history import Genre


class GenreRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._genres = database["genres"]

    async def remember(self, genres: Iterable[Genre]) -> None:
        """Store genres that no event has told of yet, as revision 0; those that are known stay as they are."""
        wanted = {genre.id: genre for genre in genres}
        async with translate_outage():
            known = await self._genres.find({"_id": {"$in": list(wanted)}}, {"revision": 1}).to_list()
            for genre_id in wanted.keys() - {document["_id"] for document in known}:
                try:
                    await self._genres.insert_one({"_id": genre_id, "name": wanted[genre_id].name, "revision": 0})
                except DuplicateKeyError:
                    continue

    async def rename(self, genre: Genre, revision: int) -> bool:
        """Give the genre its name as of `revision`; False when that or a newer revision is stored already."""
        newer = {"$set": {"name": genre.name, "revision": revision}}
        older = {"_id": genre.id, "revision": {"$lt": revision}}
        async with translate_outage():
            try:
                await self._genres.update_one(older, newer, upsert=True)
            except DuplicateKeyError:
                # Either what is stored is newer, or somebody stored an older one at this moment.
                result = await self._genres.update_one(older, newer)
                return result.matched_count == 1
        return True

    async def names(self, genre_ids: Iterable[int]) -> Mapping[int, str]:
        """The present name of each of `genre_ids`."""
        async with translate_outage():
            found = await self._genres.find({"_id": {"$in": list(set(genre_ids))}}).to_list()
        return {document["_id"]: document["name"] for document in found}
