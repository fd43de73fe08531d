"""Collections, indexes and validators; made by the migration step and never by a replica at its start."""

import logging
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import CollectionInvalid

from catalog.domain.movies import SortKey
from chassis.mongo import MongoDatabase

_log = logging.getLogger(__name__)

VERSION = 1
"""Grows with every change below; a replica is ready when the database has this version or a later one."""

GENRES = "genres"
MOVIES = "movies"
UNKNOWN_MOVIES = "unknown_movies"
ENTITLEMENTS = "entitlements"
SYNC = "sync"
LEASES = "leases"
BUDGETS = "budgets"
REVISIONS = "revisions"
_SCHEMA = "schema"

GENRE_LIST = "movie"
"""Id of the one document of genres: TMDB's list for movies."""

COLLECTIONS = (GENRES, MOVIES, UNKNOWN_MOVIES, ENTITLEMENTS, SYNC, LEASES, BUDGETS, REVISIONS)

SORT_FIELDS: dict[SortKey, str] = {
    SortKey.POPULARITY: "popularity",
    SortKey.RELEASE_DATE: "releaseDate",
    SortKey.VOTE_AVERAGE: "voteAverage",
    SortKey.TITLE: "titleKey",
}
# Looked at in the index, so that a narrowed page fetches only the documents that it shows.
_NARROWING = ("originalLanguage", "voteAverage", "releaseDate")

_NULLABLE_STRING = {"bsonType": ["string", "null"]}
_INTEGER = {"bsonType": ["int", "long"]}
_VALIDATORS: dict[str, dict[str, Any]] = {
    GENRES: {
        "required": ["fence", "version", "genres", "outbox"],
        "properties": {
            "genres": {
                "bsonType": "array",
                "items": {
                    "bsonType": "object",
                    "required": ["id", "name", "status", "revision", "movieCount", "createdAt", "updatedAt"],
                    "properties": {
                        "id": {"bsonType": ["int", "long"], "minimum": 1},
                        "name": {"bsonType": "string", "minLength": 1},
                        "status": {"enum": ["active", "retired"]},
                        "revision": {"bsonType": ["int", "long"], "minimum": 1},
                        "movieCount": {"bsonType": ["int", "long"], "minimum": 0},
                    },
                },
            },
            "outbox": {"bsonType": "array"},
        },
    },
    MOVIES: {
        "required": ["genreIds", "fetchedAt"],
        "properties": {
            "genreIds": {"bsonType": "array", "items": _INTEGER},
            "title": {"bsonType": "string"},
            "titleWords": {"bsonType": "array", "items": {"bsonType": "string"}},
            "releaseDate": _NULLABLE_STRING,
            "posterPath": _NULLABLE_STRING,
            "popularity": {"bsonType": "double"},
            "voteAverage": {"bsonType": "double"},
            "fetchedAt": {"bsonType": "date"},
        },
    },
    ENTITLEMENTS: {
        "required": ["revision", "grants", "confirmedAt", "bucket"],
        "properties": {
            "revision": _INTEGER,
            "grants": {"bsonType": "array"},
            "bucket": {"bsonType": ["int", "long"], "minimum": 0, "maximum": 255},
        },
    },
}


def _page_index(field: str, direction: int) -> IndexModel:
    """The walk behind a page: a genre, the order, the tie-breaker, and what else a query may narrow by.

    Both directions need one, because ties go by ascending id in either.
    """
    keys = [("genreIds", ASCENDING), (field, direction), ("_id", ASCENDING)]
    keys += [(name, ASCENDING) for name in _NARROWING if name != field]
    return IndexModel(keys, name=f"page_{field}_{'desc' if direction == DESCENDING else 'asc'}")


INDEXES: dict[str, list[IndexModel]] = {
    MOVIES: [
        *(_page_index(field, direction) for field in SORT_FIELDS.values() for direction in (ASCENDING, DESCENDING)),
        IndexModel([("titleWords", ASCENDING)], name="title_words"),
        IndexModel([("fetchedAt", ASCENDING)], name="fetched_at"),
    ],
    UNKNOWN_MOVIES: [IndexModel([("forgetAt", ASCENDING)], name="forget_at", expireAfterSeconds=0)],
    ENTITLEMENTS: [IndexModel([("bucket", ASCENDING), ("revision", ASCENDING)], name="bucket")],
}
# Documents that later updates take for granted, so that none of them has to be an upsert that races.
_SEEDS: dict[str, list[dict[str, Any]]] = {
    LEASES: [{"_id": "sync", "fence": 0}, {"_id": "outbox", "fence": 0}, {"_id": "healing", "fence": 0}],
    GENRES: [{"_id": GENRE_LIST, "fence": 0, "version": 0, "genres": [], "outbox": []}],
    BUDGETS: [{"_id": "tmdb"}],
    REVISIONS: [{"_id": "catalog", "movies": 0, "genres": 0}],
    SYNC: [{"_id": "genres", "fence": 0}, {"_id": "movies", "fence": 0}, {"_id": "request", "pending": False}],
}


class OutdatedSchemaError(RuntimeError):
    """The database has not been migrated to what this code needs."""


async def migrate(database: MongoDatabase) -> None:
    """Bring the database to `VERSION`. May be repeated and run beside the previous version of the code.

    A newer database stays as it is: going back to this version must not take rules and indexes from the next one.
    """
    if await _version(database) > VERSION:
        _log.info("database is newer than this version, nothing to do")
        return
    existing = set(await database.list_collection_names())
    for name in (*COLLECTIONS, _SCHEMA):
        if name not in existing:
            try:
                await database.create_collection(name)
            except CollectionInvalid:
                _log.info("collection made by another migration", extra={"collection": name})
        if name in _VALIDATORS:
            schema = {"bsonType": "object", **_VALIDATORS[name]}
            await database.command("collMod", name, validator={"$jsonSchema": schema}, validationLevel="strict")
        if name in INDEXES:
            await database[name].create_indexes(INDEXES[name])
    await _seed(database)
    await database[_SCHEMA].update_one({"_id": "version"}, {"$max": {"version": VERSION}}, upsert=True)
    _log.info("database migrated", extra={"version": VERSION})


async def _seed(database: MongoDatabase) -> None:
    for name, documents in _SEEDS.items():
        for document in documents:
            fields = {key: value for key, value in document.items() if key != "_id"}
            # An upsert with nothing to set is refused by some engines.
            await database[name].update_one(
                {"_id": document["_id"]}, {"$setOnInsert": fields or {"seeded": True}}, upsert=True
            )


async def clear(database: MongoDatabase) -> None:
    """Delete everything that is stored, as TMDB's terms (section 1.D) ask when the permission ends."""
    for name in COLLECTIONS:
        await database[name].delete_many({})
    await _seed(database)


async def require_schema(database: MongoDatabase) -> None:
    """Raises `OutdatedSchemaError` unless the database is at this code's version or beyond."""
    if await _version(database) < VERSION:
        raise OutdatedSchemaError("the database is not migrated: run 'python -m catalog migrate'")


async def _version(database: MongoDatabase) -> int:
    document = await database[_SCHEMA].find_one({"_id": "version"})
    return 0 if document is None else int(document["version"])
