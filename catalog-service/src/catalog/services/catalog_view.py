"""What an API process remembers of the catalog: its revision and its few dozen genres."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pymongo.errors import PyMongoError

from catalog.domain.genres import Genre
from catalog.storage.genres import GenreRepository
from catalog.storage.revisions import RevisionRepository, Revisions
from chassis.mongo import is_unavailable, translate_outage

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
# Older than this, a look of one's own is due: the poll has been failing.
_USABLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalog at `revisions`, or a little later."""

    revisions: Revisions
    genres: Mapping[int, Genre]


class CatalogView:
    """The present snapshot, at most about a second behind the database."""

    def __init__(self, revisions: RevisionRepository, genres: GenreRepository) -> None:
        self._revisions = revisions
        self._genres = genres
        self._snapshot: Snapshot | None = None
        self._seen_at = float("-inf")

    def remembered(self) -> Snapshot | None:
        """The snapshot if it is recent enough to be served from."""
        return self._snapshot if time.monotonic() - self._seen_at < _USABLE_SECONDS else None

    async def current(self) -> Snapshot:
        """The snapshot; read first when there is no recent one. Raises `StoreUnavailableError`."""
        if (snapshot := self.remembered()) is not None:
            return snapshot
        async with translate_outage():
            return await self.refresh()

    async def refresh(self) -> Snapshot:
        """Read what has changed."""
        looked_at = time.monotonic()
        # The number before what it counts: a change between the two is then noticed again, never missed.
        revisions = await self._revisions.current()
        if self._snapshot is None or revisions.genres != self._snapshot.revisions.genres:
            self._snapshot = Snapshot(revisions, await self._genres.all())
        elif revisions != self._snapshot.revisions:
            self._snapshot = Snapshot(revisions, self._snapshot.genres)
        self._seen_at = looked_at
        return self._snapshot

    async def keep_fresh(self, stopping: asyncio.Event) -> None:
        """Follow the database until `stopping`; not to be cancelled, which would leave a connection half-read."""
        while not stopping.is_set():
            try:
                await self.refresh()
            except PyMongoError as error:
                if not is_unavailable(error):
                    _log.exception("catalog not looked at")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await stopping.wait()
