"""Genres and the events about them, which wait inside of the documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import Binary
from pymongo.asynchronous.client_session import AsyncClientSession

from catalog.domain.events import genre_changed
from catalog.domain.genres import Genre, GenreChanges, GenreStatus
from catalog.storage.schema import GENRES, MOVIES
from chassis.events.envelope import Event, encode
from chassis.mongo import Document, MongoDatabase

_SHOWN = {"outbox": 0}


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that is stored with its genre and not yet known to be published."""

    genre_id: int
    event_id: str
    type: str
    subject: str
    traceparent: str | None
    body: bytes


def _genre(document: Mapping[str, Any]) -> Genre:
    return Genre(
        id=int(document["_id"]),
        name=document["name"],
        status=GenreStatus(document["status"]),
        movie_count=int(document["movieCount"]),
        revision=int(document["revision"]),
        created_at=document["createdAt"],
        updated_at=document["updatedAt"],
    )


def _waiting(event: Event) -> Document:
    return {
        "id": str(event.id),
        "type": event.type,
        "subject": event.subject,
        "traceparent": event.traceparent,
        "body": Binary(encode(event)),
    }


class GenreRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._genres = database[GENRES]
        self._movies = database[MOVIES]

    async def all(self, session: AsyncClientSession | None = None) -> dict[int, Genre]:
        """Every genre ever listed, by id; a few dozen."""
        documents = await self._genres.find({}, _SHOWN, session=session).to_list()
        return {genre.id: genre for genre in map(_genre, documents)}

    async def apply(self, changes: GenreChanges, now: datetime, session: AsyncClientSession) -> None:
        """Store `changes`, each with its event in the same document."""
        stored = await self.all(session)
        for names, status in (
            (changes.added, GenreStatus.ACTIVE),
            (changes.renamed, GenreStatus.ACTIVE),
            (changes.restored, GenreStatus.ACTIVE),
            (changes.retired, GenreStatus.RETIRED),
        ):
            for genre_id, name in names.items():
                known = stored.get(genre_id)
                revision = known.revision + 1 if known else 1
                event = genre_changed(genre_id, revision, name, status)
                await self._genres.update_one(
                    {"_id": genre_id},
                    {
                        "$set": {"name": name, "status": status.value, "revision": revision, "updatedAt": now},
                        "$setOnInsert": {"createdAt": now, "movieCount": 0},
                        "$push": {"outbox": _waiting(event)},
                    },
                    upsert=True,
                    session=session,
                )

    async def recount(self) -> bool:
        """Count the movies of every genre; whether a count has changed."""
        changed = False
        for genre in (await self.all()).values():
            count = await self._movies.count_documents({"genreIds": genre.id})
            if count != genre.movie_count:
                await self._genres.update_one({"_id": genre.id}, {"$set": {"movieCount": count}})
                changed = True
        return changed

    async def waiting_events(self) -> list[WaitingEvent]:
        """Events to publish, in the order of their changes within a genre."""
        documents = await self._genres.find({"outbox.0": {"$exists": True}}, {"outbox": 1, "name": 1}).to_list()
        return [
            WaitingEvent(
                document["_id"],
                entry["id"],
                entry["type"],
                entry["subject"],
                entry["traceparent"],
                bytes(entry["body"]),
            )
            for document in documents
            for entry in document["outbox"]
        ]

    async def forget_event(self, event: WaitingEvent) -> None:
        """Remove an event that the broker has confirmed."""
        await self._genres.update_one({"_id": event.genre_id}, {"$pull": {"outbox": {"id": event.event_id}}})
