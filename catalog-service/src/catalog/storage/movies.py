"""Movies: pages of them by an index walk, and bulk writes of what TMDB says."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.errors import BulkWriteError

from catalog.domain.movies import HeldMovie, Movie, MovieFilter, MovieOrder
from catalog.domain.permission import GenreCondition
from catalog.storage.schema import MOVIES, SORT_FIELDS, UNKNOWN_MOVIES
from chassis.mongo import Document, MongoDatabase
from chassis.text import fold, words

# Above every character that can follow the beginning of a text.
_LAST_CHARACTER = "\U0010ffff"
_NOT_SHOWN = {"titleWords": 0, "titleKey": 0}
_HOUSEKEEPING = ("_id", "fetchedAt", "createdAt", "withdrawnAt", "fence")
_DUPLICATE_KEY = 11000


@dataclass(frozen=True, slots=True)
class Saved:
    """What a bulk write has done: counts of movies."""

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0


def _document(movie: Movie) -> Document:
    return {
        "title": movie.title,
        "originalTitle": movie.original_title,
        "originalLanguage": movie.original_language,
        "overview": movie.overview,
        "releaseDate": movie.release_date.isoformat() if movie.release_date else None,
        "genreIds": list(movie.genre_ids),
        "popularity": movie.popularity,
        "voteAverage": movie.vote_average,
        "voteCount": movie.vote_count,
        "posterPath": movie.poster_path,
        "titleKey": fold(movie.title),
        "titleWords": sorted(words(movie.title) | words(movie.original_title)),
    }


def _movie(document: Mapping[str, Any]) -> Movie:
    released = document["releaseDate"]
    return Movie(
        id=int(document["_id"]),
        title=document["title"],
        original_title=document["originalTitle"],
        original_language=document["originalLanguage"],
        overview=document["overview"],
        release_date=date.fromisoformat(released) if released else None,
        genre_ids=tuple(document["genreIds"]),
        popularity=float(document["popularity"]),
        vote_average=float(document["voteAverage"]),
        vote_count=int(document["voteCount"]),
        poster_path=document["posterPath"],
    )


def _query(condition: GenreCondition, narrowed: MovieFilter) -> Document:
    """`condition` and `narrowed` as MongoDB understands them."""
    clauses: list[tuple[str, Any]] = []
    if condition.all_of:
        clauses.append(("genreIds", {"$all": sorted(condition.all_of)}))
    if not condition.any_of & condition.all_of:
        wanted = sorted(condition.any_of)
        clauses.append(("genreIds", wanted[0] if len(wanted) == 1 else {"$in": wanted}))
    if condition.within is not None:
        clauses.append(("genreIds", {"$not": {"$elemMatch": {"$nin": sorted(condition.within)}}}))
    # Both bounds have to hold for one word of the title, which only $elemMatch says.
    clauses.extend(
        ("titleWords", {"$elemMatch": {"$gte": word, "$lt": word + _LAST_CHARACTER}}) for word in narrowed.words or ()
    )
    released: Document = {}
    if narrowed.released_from is not None:
        released["$gte"] = narrowed.released_from.isoformat()
    if narrowed.released_to is not None:
        # Not $lte: some engines lose what equals the upper end of a walk through a compound index.
        released["$lt"] = narrowed.released_to.isoformat() + _LAST_CHARACTER
    if released:
        # A film without a date holds null here, which no bound of text includes.
        clauses.append(("releaseDate", released))
    if narrowed.min_rating is not None:
        clauses.append(("voteAverage", {"$gte": narrowed.min_rating}))
    if narrowed.language is not None:
        clauses.append(("originalLanguage", narrowed.language))
    return _all_of(clauses)


def _all_of(clauses: Sequence[tuple[str, Any]]) -> Document:
    """One document of all conditions; below `$and`, where some engines use no index, only a field's second one."""
    query: Document = {}
    repeated: list[Document] = []
    for field, asked in clauses:
        if field in query:
            repeated.append({field: asked})
        else:
            query[field] = asked
    return {**query, "$and": repeated} if repeated else query


class MovieRepository:
    """Reading movies, and writing single ones."""

    def __init__(self, database: MongoDatabase) -> None:
        self._movies = database[MOVIES]
        self._unknown = database[UNKNOWN_MOVIES]

    async def find(self, movie_id: int) -> HeldMovie | None:
        document = await self._movies.find_one({"_id": movie_id}, _NOT_SHOWN)
        if document is None:
            return None
        return HeldMovie(None if document.get("withdrawnAt") else _movie(document), document["fetchedAt"])

    async def page(
        self, condition: GenreCondition, narrowed: MovieFilter, order: MovieOrder, offset: int, limit: int
    ) -> list[Movie]:
        """`limit` movies after the first `offset`."""
        direction = DESCENDING if order.descending else ASCENDING
        cursor = (
            self._movies.find(_query(condition, narrowed), _NOT_SHOWN)
            .sort([(SORT_FIELDS[order.key], direction), ("_id", ASCENDING)])
            .skip(offset)
            .limit(limit)
        )
        return [_movie(document) async for document in cursor]

    async def count(self, condition: GenreCondition, narrowed: MovieFilter) -> int:
        return await self._movies.count_documents(_query(condition, narrowed))

    async def total(self) -> int:
        """How many movies are held."""
        return await self._movies.estimated_document_count()

    async def save(self, movie: Movie, now: datetime) -> None:
        """Store one movie as TMDB describes it now."""
        await self._movies.update_one(
            {"_id": movie.id},
            {
                "$set": {**_document(movie), "fetchedAt": now, "withdrawnAt": None},
                "$setOnInsert": {"createdAt": now, "fence": 0},
            },
            upsert=True,
        )

    async def is_unknown(self, movie_id: int, now: datetime) -> bool:
        """Whether TMDB said lately that it has no such movie."""
        # The engine removes what has run out only now and then.
        document = await self._unknown.find_one({"_id": movie_id})
        return document is not None and document["forgetAt"] > now

    async def remember_unknown(self, movie_id: int, forget_at: datetime) -> None:
        await self._unknown.update_one({"_id": movie_id}, {"$set": {"forgetAt": forget_at}}, upsert=True)


class MovieWriter:
    """Bulk writes of the movie routine, each movie guarded by the fence that it was last written with."""

    def __init__(self, database: MongoDatabase) -> None:
        self._movies = database[MOVIES]

    async def save_all(self, movies: Collection[Movie], now: datetime, fence: int) -> Saved:
        """Store `movies` as TMDB describes them now; one that is given twice is stored once.

        A movie that a later holder has written already is left alone.
        """
        wanted = {movie.id: _document(movie) for movie in movies}
        stored = {d["_id"]: d async for d in self._movies.find({"_id": {"$in": list(wanted)}})}
        changed = {key for key, document in stored.items() if _differs(document, wanted[key])}
        unchanged = stored.keys() - changed
        new = wanted.keys() - stored.keys()
        # Somebody may have inserted one of them since we looked.
        changed |= await self._insert({key: wanted[key] for key in new}, now, fence)
        if changed:
            await self._movies.bulk_write(
                [_guarded(key, {**wanted[key], "fetchedAt": now, "fence": fence}, fence) for key in changed],
                ordered=False,
            )
        if unchanged:
            await self._movies.update_many({"_id": {"$in": list(unchanged)}}, {"$max": {"fetchedAt": now}})
        return Saved(len(new - changed), len(changed), len(unchanged))

    async def _insert(self, documents: Mapping[int, Document], now: datetime, fence: int) -> set[int]:
        """Insert new movies; ids of those that there are already."""
        if not documents:
            return set()
        stamps = {"fetchedAt": now, "createdAt": now, "fence": fence}
        try:
            await self._movies.insert_many(
                [{"_id": key, **document, **stamps} for key, document in documents.items()], ordered=False
            )
        except BulkWriteError as error:
            refused = error.details["writeErrors"]
            if any(entry["code"] != _DUPLICATE_KEY for entry in refused):
                raise
            keys = list(documents)
            return {keys[entry["index"]] for entry in refused}
        return set()

    async def withdraw(self, ids: Sequence[int], now: datetime, fence: int) -> int:
        """TMDB has these no longer: they are in no list from now on; how many that is news about.

        Without genres a movie is permitted to nobody, so that no query needs another condition. What a later holder
        has written stays.
        """
        result = await self._movies.update_many(
            {"_id": {"$in": list(ids)}, "withdrawnAt": None, "fence": {"$lte": fence}},
            {"$set": {"genreIds": [], "withdrawnAt": now, "fetchedAt": now, "fence": fence}},
        )
        return result.modified_count

    async def held_among(self, ids: Collection[int]) -> list[int]:
        """Those of `ids` that are held and not withdrawn."""
        cursor = self._movies.find({"_id": {"$in": list(ids)}}, {"withdrawnAt": 1, "fetchedAt": 1})
        return sorted([document["_id"] async for document in cursor if not document.get("withdrawnAt")])

    async def oldest(self, before: datetime, limit: int) -> list[int]:
        """Ids of movies last fetched before a moment, the oldest first."""
        cursor = (
            self._movies.find({"fetchedAt": {"$lt": before}}, {"fetchedAt": 1, "withdrawnAt": 1})
            .sort([("fetchedAt", ASCENDING), ("_id", ASCENDING)])
            .limit(limit)
        )
        return [document["_id"] async for document in cursor]

    async def purge(self, before: datetime) -> int:
        """Delete what was last fetched before a moment; how many movies that were."""
        result = await self._movies.delete_many({"fetchedAt": {"$lt": before}})
        return result.deleted_count


def _guarded(movie_id: int, fields: Document, fence: int) -> UpdateOne:
    """An update that does nothing when a later holder has written the movie.

    The guard is in the update and not in the filter: with more than `_id` in the filter some engines scan.
    """
    later = {"$gt": ["$fence", fence]}
    # Literally, because a title may begin with "$"; without `withdrawnAt`, because TMDB has it again.
    known = {"$literal": fields}
    updated = {"$mergeObjects": ["$$ROOT", known, {"withdrawnAt": None}]}
    return UpdateOne({"_id": movie_id}, [{"$replaceWith": {"$cond": [later, "$$ROOT", updated]}}])


def _differs(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return bool(stored.get("withdrawnAt")) or {k: v for k, v in stored.items() if k not in _HOUSEKEEPING} != wanted
