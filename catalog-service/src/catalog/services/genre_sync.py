"""Bringing the genres up to date with TMDB's list."""

import logging
from datetime import datetime, timedelta

from catalog.clients.tmdb.client import TmdbClient
from catalog.domain.genres import GenreChanges, compare
from catalog.domain.sync import Routine
from catalog.storage.genres import GenreRepository
from catalog.storage.revisions import RevisionRepository
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock

_log = logging.getLogger(__name__)


class GenreSync:
    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        tmdb: TmdbClient,
        genres: GenreRepository,
        states: SyncStateRepository,
        revisions: RevisionRepository,
        interval: timedelta,
        clock: Clock,
    ) -> None:
        self._tmdb = tmdb
        self._genres = genres
        self._states = states
        self._revisions = revisions
        self.interval = interval
        self._clock = clock

    async def first_due(self) -> datetime:
        """When the next check is due: at once without a stored list, else an interval after the last check."""
        if not await self._genres.all():
            return self._clock()
        state = await self._states.state(Routine.GENRES)
        return state.next_at or (state.checked_at or self._clock()) + self.interval

    async def run(self, fence: int) -> None:
        """Ask TMDB and store what has changed, all of it or nothing.

        Raises `TmdbError` and `RefusedListingError`, and then nothing has changed; and `LeaseLostError`.
        """
        memory = await self._states.memory(Routine.GENRES)
        stored = await self._genres.all()
        listing = await self._tmdb.genres(memory.get("etag") if stored else None)
        changes = compare(stored, listing.names) if listing is not None else GenreChanges()
        now = self._clock()
        if changes:
            await self._genres.apply(changes, now, fence)
            await self._revisions.advance(movies=True, genres=True)
        if listing is not None:
            # After the list: a tag without its list would hide a change for ever.
            await self._states.note(Routine.GENRES, {"etag": listing.etag}, None, fence)
        counts = changes.counts() if changes else None
        await self._states.succeed(Routine.GENRES, now, now + self.interval, counts, fence)
        _log.info("genres checked", extra={"changed": bool(changes), **changes.counts()})
