"""Histories: one document per user and movie, kept so by a unique index."""

import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import date, datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, ReturnDocument
from pymongo.errors import DuplicateKeyError

from chassis.mongo import Document, MongoDatabase, translate_outage
from chassis.pagination import PageRequest, Slice
from chassis.text import fold, words
from watch.domain.history import (
    EARLIEST_WATCHED_AT,
    MILLISECOND,
    Genre,
    HistoryFilter,
    Movie,
    NewEntry,
    Order,
    Period,
    SortKey,
    WatchedMovie,
    bound_in_milliseconds,
)
from watch.storage.batches import batches
from watch.storage.genres import GenreRepository
from watch.storage.transactions import Session

_SORT_FIELDS = {SortKey.WATCHED_AT: "watchedAt", SortKey.CREATED_AT: "createdAt", SortKey.TITLE: "sortTitle"}
_SHOWN = {"movieId": 1, "title": 1, "releaseDate": 1, "genreIds": 1, "watchedAt": 1, "createdAt": 1}
_BATCH = 500
# Sorts after every string that has a given beginning.
_LAST_CHARACTER = "\U0010ffff"


def period_condition(period: Period) -> Document:
    """The condition that `watchedAt` lies in `period`."""
    bounds: Document = {}
    if period.start is not None and period.start > EARLIEST_WATCHED_AT:
        # "After the millisecond before" is "from": the local engine loses entries that equal an inclusive bound
        # at the end of an index scan when the index has another key behind it.
        bounds["$gt"] = bound_in_milliseconds(period.start) - MILLISECOND
    if period.end is not None:
        bounds["$lt"] = bound_in_milliseconds(period.end)
    return {"watchedAt": bounds} if bounds else {}


def _begins(word: str) -> Document:
    # Bounds and no pattern: an index answers them, and $elemMatch keeps both on the same word of the title.
    return {"titleWords": {"$elemMatch": {"$gte": word, "$lt": word + _LAST_CHARACTER}}}


def _condition(user_id: uuid.UUID, wanted: HistoryFilter) -> Document:
    condition: Document = {"userId": user_id, **period_condition(wanted.period)}
    if wanted.movie_ids is not None:
        condition["movieId"] = {"$in": sorted(wanted.movie_ids)}
    if wanted.genre_ids is not None:
        condition["genreIds"] = {"$in": sorted(wanted.genre_ids)}
    if wanted.title_words:
        condition["$and"] = [_begins(word) for word in wanted.title_words]
    return condition


def _sort(order: Order) -> list[tuple[str, int]]:
    return [(_SORT_FIELDS[order.key], DESCENDING if order.descending else ASCENDING), ("movieId", ASCENDING)]


def _new_document(entry: NewEntry) -> Document:
    movie = entry.movie
    return {
        "userId": entry.user_id,
        "movieId": movie.id,
        "title": movie.title,
        "sortTitle": fold(movie.title),
        "titleWords": sorted(words(movie.title)),
        "releaseDate": movie.release_date.isoformat() if movie.release_date else None,
        "genreIds": [genre.id for genre in movie.genres],
        "watchedAt": entry.watched_at,
        "createdAt": entry.created_at,
    }


class AlreadyMarkedError(Exception):
    """The movie is in the user's history already."""


class HistoryRepository:
    def __init__(self, database: MongoDatabase, genres: GenreRepository) -> None:
        self._watched = database["watched"]
        self._genres = genres

    async def add(self, entry: NewEntry, session: Session) -> None:
        """Store a new entry. Raises `AlreadyMarkedError`."""
        try:
            await self._watched.insert_one(_new_document(entry), session=session)
        except DuplicateKeyError as error:
            raise AlreadyMarkedError from error

    async def find(self, user_id: uuid.UUID, movie_id: int) -> WatchedMovie | None:
        async with translate_outage():
            found = await self._watched.find_one({"userId": user_id, "movieId": movie_id}, _SHOWN)
        return (await self._entries([found]))[0] if found else None

    async def move(self, user_id: uuid.UUID, movie_id: int, watched_at: datetime) -> WatchedMovie | None:
        """Set when a marked movie was watched; None when it is not marked."""
        async with translate_outage():
            found = await self._watched.find_one_and_update(
                {"userId": user_id, "movieId": movie_id},
                {"$set": {"watchedAt": watched_at}},
                projection=_SHOWN,
                return_document=ReturnDocument.AFTER,
            )
        return (await self._entries([found]))[0] if found else None

    async def remove(self, user_id: uuid.UUID, movie_id: int, session: Session) -> bool:
        """Remove an entry; False when there was none."""
        result = await self._watched.delete_one({"userId": user_id, "movieId": movie_id}, session=session)
        return result.deleted_count == 1

    async def erase(self, user_id: uuid.UUID) -> None:
        """Remove everything of a user, in batches that each stay below the time limit of one operation."""
        everything = {"userId": user_id}
        async with translate_outage():
            while await self._watched.find_one(everything, {"movieId": 1}):
                cursor = self._watched.find(everything, {"movieId": 1}, batch_size=_BATCH)
                async for found in batches(cursor, _BATCH):
                    await self._watched.delete_many({"_id": {"$in": [document["_id"] for document in found]}})

    async def list_page(
        self, user_id: uuid.UUID, wanted: HistoryFilter, order: Order, page: PageRequest
    ) -> Slice[WatchedMovie]:
        """One page of the entries that `wanted` means."""
        if wanted.is_empty:
            return Slice([], 0)
        condition = _condition(user_id, wanted)
        async with translate_outage():
            total = await self._watched.count_documents(condition)
            found: list[Document] = []
            if page.offset < total:
                cursor = self._watched.find(condition, _SHOWN).sort(_sort(order)).skip(page.offset).limit(page.size)
                found = await cursor.to_list()
        return Slice(await self._entries(found), total)

    async def stream(
        self, user_id: uuid.UUID, wanted: HistoryFilter, order: Order
    ) -> AsyncIterator[Sequence[WatchedMovie]]:
        """All entries that `wanted` means, a batch at a time."""
        if wanted.is_empty:
            return
        cursor = self._watched.find(_condition(user_id, wanted), _SHOWN, batch_size=_BATCH).sort(_sort(order))
        async with translate_outage():
            async for found in batches(cursor, _BATCH):
                yield await self._entries(found)

    async def _entries(self, found: Iterable[Document]) -> list[WatchedMovie]:
        # Names after entries: a genre is stored before the first entry that mentions it.
        documents = list(found)
        names = await self._genres.names(g for document in documents for g in document["genreIds"])
        return [_entry(document, names) for document in documents]


def _entry(document: Document, names: Any) -> WatchedMovie:
    released = document["releaseDate"]
    movie = Movie(
        id=document["movieId"],
        title=document["title"],
        release_date=date.fromisoformat(released) if released else None,
        genres=tuple(Genre(genre_id, names[genre_id]) for genre_id in document["genreIds"]),
    )
    return WatchedMovie(movie, document["watchedAt"], document["createdAt"])
