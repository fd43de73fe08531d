"""Collections, their validators and indexes; made by the migration step and never by a replica at its start."""

from typing import Any
from uuid import UUID

from pymongo import ASCENDING, DESCENDING, IndexModel

from chassis.mongo import Document, Mongo, MongoDatabase, translate_outage

# Raised with every change of what is below; a process that needs a newer one is not ready.
VERSION = 1
# The id below all user ids: the first segment of the directory begins here.
LOWEST_ID = UUID(int=0)

_UUID = {"bsonType": "binData"}
_WHOLE = {"bsonType": ["int", "long"]}
_TEXT = {"bsonType": "string"}
_TIME = {"bsonType": "date"}


def _validator(**members: dict[str, Any]) -> Document:
    return {"$jsonSchema": {"bsonType": "object", "required": list(members), "properties": members}}


_VALIDATORS: dict[str, Document] = {
    "watched": _validator(
        userId=_UUID,
        movieId=_WHOLE,
        title=_TEXT,
        sortTitle=_TEXT,
        titleWords={"bsonType": "array", "items": _TEXT},
        releaseDate={"bsonType": ["string", "null"]},
        genreIds={"bsonType": "array", "items": _WHOLE},
        watchedAt=_TIME,
        createdAt=_TIME,
    ),
    "genres": _validator(name=_TEXT, revision=_WHOLE),
    "users": _validator(films={**_WHOLE, "minimum": 0}, deleted={"bsonType": "bool"}),
    "segments": _validator(users={**_WHOLE, "minimum": 0}),
    "sessionLeases": _validator(until=_TIME),
    "schema": _validator(version=_WHOLE),
}


def _by_user(name: str, *keys: tuple[str, int], unique: bool = False) -> IndexModel:
    return IndexModel([("userId", ASCENDING), *keys], name=name, unique=unique)


# A sort ends in the movie id ascending whatever its direction, so each direction is an index of its own.
_INDEXES: dict[str, list[IndexModel]] = {
    "watched": [
        _by_user("user_movie", ("movieId", ASCENDING), unique=True),
        _by_user("newest", ("watchedAt", DESCENDING), ("movieId", ASCENDING)),
        _by_user("oldest", ("watchedAt", ASCENDING), ("movieId", ASCENDING)),
        _by_user("last_marked", ("createdAt", DESCENDING), ("movieId", ASCENDING)),
        _by_user("first_marked", ("createdAt", ASCENDING), ("movieId", ASCENDING)),
        _by_user("title", ("sortTitle", ASCENDING), ("movieId", ASCENDING)),
        _by_user("title_backwards", ("sortTitle", DESCENDING), ("movieId", ASCENDING)),
        _by_user("genre", ("genreIds", ASCENDING), ("watchedAt", DESCENDING), ("movieId", ASCENDING)),
        _by_user("title_word", ("titleWords", ASCENDING)),
    ],
    "users": [
        IndexModel([("segment", ASCENDING), ("_id", ASCENDING)], name="segment"),
        IndexModel([("films", ASCENDING), ("_id", ASCENDING)], name="films"),
    ],
    "sessionLeases": [IndexModel([("until", ASCENDING)], name="until")],
}


class SchemaMissingError(Exception):
    """The migration step has not run, or an older one than this code needs."""


async def migrate(mongo: Mongo) -> None:
    """Bring the database to `VERSION`; repeating it changes nothing, and a newer database stays as it is."""
    database = mongo.database
    found = await database["schema"].find_one({"_id": "schema"})
    if found is not None and found["version"] > VERSION:
        return
    present = set(await database.list_collection_names())
    for name, validator in _VALIDATORS.items():
        if name not in present:
            await database.create_collection(name, validator=validator)
        else:
            await database.command("collMod", name, validator=validator)
    for name, indexes in _INDEXES.items():
        await database[name].create_indexes(indexes)
    await database["segments"].update_one({"_id": LOWEST_ID}, {"$setOnInsert": {"users": 0}}, upsert=True)
    await database["schema"].update_one({"_id": "schema"}, {"$max": {"version": VERSION}}, upsert=True)


async def require_schema(database: MongoDatabase) -> None:
    """Raises `SchemaMissingError` until the migration step has run; a newer version is fine."""
    async with translate_outage():
        found = await database["schema"].find_one({"_id": "schema"})
    if found is None or found["version"] < VERSION:
        raise SchemaMissingError("run 'python -m watch migrate' first")
