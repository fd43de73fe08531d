"""Genres and the events about them: one document, as TMDB's list is one.

So a new list is stored whole or not at all, with its events, and only by the present holder of the lease.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import Binary

from catalog.domain.events import genre_changed
from catalog.domain.genres import Genre, GenreChanges, GenreStatus
from catalog.storage.leases import LeaseLostError
from catalog.storage.schema import GENRE_LIST, GENRES, MOVIES
from chassis.events.envelope import Event, encode
from chassis.mongo import Document, MongoDatabase


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that is stored with the genres and not yet known to be published."""

    genre_id: int
    event_id: str
    type: str
    subject: str
    traceparent: str | None
    body: bytes


def _genre(entry: Mapping[str, Any]) -> Genre:
    return Genre(
        id=int(entry["id"]),
        name=entry["name"],
        status=GenreStatus(entry["status"]),
        movie_count=int(entry["movieCount"]),
        revision=int(entry["revision"]),
        created_at=entry["createdAt"],
        updated_at=entry["updatedAt"],
    )


def _waiting(genre_id: int, event: Event) -> Document:
    return {
        "id": str(event.id),
        "genreId": genre_id,
        "type": event.type,
        "subject": event.subject,
        "traceparent": event.traceparent,
        "body": Binary(encode(event)),
    }


def _changed(changes: GenreChanges) -> list[tuple[int, str, GenreStatus]]:
    active = {**changes.added, **changes.renamed, **changes.restored}
    return [
        *((genre_id, name, GenreStatus.ACTIVE) for genre_id, name in active.items()),
        *((genre_id, name, GenreStatus.RETIRED) for genre_id, name in changes.retired.items()),
    ]


class GenreRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._lists = database[GENRES]
        self._movies = database[MOVIES]

    async def all(self) -> dict[int, Genre]:
        """Every genre ever listed, by id; a few dozen."""
        document = await self._read()
        return {int(entry["id"]): _genre(entry) for entry in document["genres"]}

    async def _read(self) -> Document:
        document = await self._lists.find_one({"_id": GENRE_LIST})
        return document or {"genres": [], "outbox": [], "version": 0, "fence": 0}

    async def begin(self, fence: int) -> None:
        """Put a fence up. Raises `LeaseLostError` when a later holder has done so."""
        result = await self._lists.update_one({"_id": GENRE_LIST, "fence": {"$lte": fence}}, {"$set": {"fence": fence}})
        if not result.matched_count:
            raise LeaseLostError

    async def apply(self, changes: GenreChanges, now: datetime, fence: int) -> None:
        """Store `changes`, each with its event, all of them or none. Raises `LeaseLostError`."""
        while True:
            document = await self._read()
            if document["fence"] > fence:
                raise LeaseLostError
            entries = {int(entry["id"]): entry for entry in document["genres"]}
            events = []
            for genre_id, name, status in _changed(changes):
                known = entries.get(genre_id, {"revision": 0, "createdAt": now, "movieCount": 0})
                revision = int(known["revision"]) + 1
                entries[genre_id] = {
                    **known,
                    "id": genre_id,
                    "name": name,
                    "status": status.value,
                    "revision": revision,
                    "updatedAt": now,
                }
                events.append(_waiting(genre_id, genre_changed(genre_id, revision, name, status)))
            if await self._replace(document, list(entries.values()), events, fence):
                return

    async def announce(self) -> int:
        """Send every genre again as its next revision, to whoever has lost or mistaken it; how many."""
        while True:
            document = await self._read()
            entries = [{**entry, "revision": int(entry["revision"]) + 1} for entry in document["genres"]]
            events = [
                _waiting(e["id"], genre_changed(e["id"], e["revision"], e["name"], GenreStatus(e["status"])))
                for e in entries
            ]
            if not entries or await self._replace(document, entries, events, document["fence"]):
                return len(entries)

    async def _replace(self, before: Document, entries: list[Document], events: list[Document], fence: int) -> bool:
        """Store genres and events in place of `before`; False when that has changed or a later holder has begun."""
        result = await self._lists.update_one(
            {"_id": GENRE_LIST, "version": before["version"], "fence": {"$lte": fence}},
            {"$set": {"genres": entries}, "$inc": {"version": 1}, "$push": {"outbox": {"$each": events}}},
        )
        return bool(result.matched_count)

    async def recount(self) -> bool:
        """Count the movies of every genre; whether a count has changed."""
        document = await self._read()
        entries = []
        for entry in document["genres"]:
            count = await self._movies.count_documents({"genreIds": entry["id"]})
            entries.append({**entry, "movieCount": count})
        if entries == document["genres"]:
            return False
        # When the list has changed meanwhile, the next count finds the same difference.
        await self._lists.update_one(
            {"_id": GENRE_LIST, "version": document["version"]}, {"$set": {"genres": entries}, "$inc": {"version": 1}}
        )
        return True

    async def waiting_events(self) -> list[WaitingEvent]:
        """Events to publish, those of a genre next to each other and in the order of its changes."""
        entries = sorted((await self._read())["outbox"], key=lambda entry: int(entry["genreId"]))
        return [
            WaitingEvent(
                int(entry["genreId"]),
                entry["id"],
                entry["type"],
                entry["subject"],
                entry["traceparent"],
                bytes(entry["body"]),
            )
            for entry in entries
        ]

    async def forget_event(self, event: WaitingEvent) -> None:
        """Remove an event that the broker has confirmed."""
        await self._lists.update_one({"_id": GENRE_LIST}, {"$pull": {"outbox": {"id": event.event_id}}})
