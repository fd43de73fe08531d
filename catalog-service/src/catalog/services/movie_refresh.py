"""Keeping movies up to date one by one: what TMDB says has changed, what has grown old, what has to go.

TMDB's terms (section 1.C) forbid to keep anything for longer than six months, so that every movie is fetched
again well before and deleted if that has not worked.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from catalog.clients.tmdb.client import TmdbClient
from catalog.clients.tmdb.errors import TmdbMalformedError, TmdbNotFoundError
from catalog.domain.movies import Movie
from catalog.domain.sync import Routine
from catalog.storage.movies import MovieWriter
from catalog.storage.revisions import RevisionRepository
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock

_log = logging.getLogger(__name__)

REFRESHED_AFTER = timedelta(days=150)
PURGED_AFTER = timedelta(days=175)
LONGEST_WINDOW = timedelta(days=13)
"""TMDB's feed of changes spans at most 14 days, both ends included."""
_MOVIES_AT_ONCE = 40
_REQUESTS_AT_ONCE = 8


@dataclass(slots=True)
class Refreshed:
    """Counts of movies."""

    refreshed: int = 0
    withdrawn: int = 0
    skipped: int = 0

    def counts(self) -> dict[str, int]:
        return {
            "refreshed": self.refreshed,
            "withdrawn": self.withdrawn,
            "skippedDetails": self.skipped,
        }


class MovieRefresh:
    def __init__(
        self,
        tmdb: TmdbClient,
        movies: MovieWriter,
        states: SyncStateRepository,
        revisions: RevisionRepository,
        clock: Clock,
    ) -> None:
        self._tmdb = tmdb
        self._movies = movies
        self._states = states
        self._revisions = revisions
        self._clock = clock

    async def run(self, fence: int) -> dict[str, int]:
        """Follow the changes and fetch what is old. Raises `TmdbError` and `LeaseLostError`."""
        done = Refreshed()
        await self._follow_changes(fence, done)
        await self._fetch_old(fence, done)
        _log.info("movies refreshed", extra=done.counts())
        return done.counts()

    async def _follow_changes(self, fence: int, done: Refreshed) -> None:
        """Fetch every held movie on the feed since the last run; the day of the last run counts again."""
        today = self._clock().date()
        memory = await self._states.memory(Routine.MOVIES)
        noted: dict[str, Any] = memory.get("feed") or {}
        since = date.fromisoformat(noted["since"]) if noted else today - timedelta(days=1)
        # What lies further back is caught by the next walk and by the refresh of what is old.
        since = max(since, today - LONGEST_WINDOW)
        page = int(noted.get("page", 1)) if noted.get("until") == today.isoformat() else 1
        pages = page
        while page <= pages:
            ids, pages = await self._tmdb.changed_ids(since, today, page)
            page += 1
            feed = {"since": since.isoformat(), "until": today.isoformat(), "page": page}
            progress = {"phase": "changes", "page": page - 1, "pagesOfList": pages, **done.counts()}
            await self._fetch(fence, await self._movies.held_among(ids), done, {"feed": feed}, progress)
        finished = {"feed": {"since": today.isoformat()}}
        await self._fetch(fence, [], done, finished, {"phase": "changes", **done.counts()})

    async def _fetch_old(self, fence: int, done: Refreshed) -> None:
        before = self._clock() - REFRESHED_AFTER
        seen: set[int] = set()
        while ids := [i for i in await self._movies.oldest(before, _MOVIES_AT_ONCE + len(seen)) if i not in seen]:
            # One that cannot be read stays old; asking for it once in a run is enough.
            seen.update(ids)
            await self._fetch(fence, ids, done, {}, {"phase": "refresh", **done.counts()})

    async def _fetch(
        self,
        fence: int,
        ids: Sequence[int],
        done: Refreshed,
        memory: dict[str, Any],
        progress: dict[str, Any],
    ) -> None:
        """Fetch movies by id and store what came, and note `memory` after the last of them."""
        for start in range(0, len(ids), _MOVIES_AT_ONCE):
            part = ids[start : start + _MOVIES_AT_ONCE]
            movies, gone, skipped = await self._ask(part)
            done.skipped += skipped
            is_last = start + _MOVIES_AT_ONCE >= len(ids)
            await self._store(fence, movies, gone, done, memory if is_last else {}, progress)
        if not ids:
            await self._store(fence, [], [], done, memory, progress)

    async def _ask(self, ids: Sequence[int]) -> tuple[list[Movie], list[int], int]:
        """What TMDB says about each: movies, ids that it has no longer, and how many cannot be read."""
        slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)

        async def ask(movie_id: int) -> Movie | TmdbNotFoundError | TmdbMalformedError:
            async with slots:
                try:
                    return await self._tmdb.movie(movie_id)
                except (TmdbNotFoundError, TmdbMalformedError) as error:
                    return error

        async with asyncio.TaskGroup() as group:
            tasks = {movie_id: group.create_task(ask(movie_id)) for movie_id in ids}
        answers = {movie_id: task.result() for movie_id, task in tasks.items()}
        movies = [answer for answer in answers.values() if isinstance(answer, Movie)]
        gone = [movie_id for movie_id, answer in answers.items() if isinstance(answer, TmdbNotFoundError)]
        return movies, gone, len(answers) - len(movies) - len(gone)

    async def _store(  # noqa: PLR0913 - what came, what to count, what to note
        self,
        fence: int,
        movies: Sequence[Movie],
        gone: Sequence[int],
        done: Refreshed,
        memory: dict[str, Any],
        progress: dict[str, Any],
    ) -> None:
        await self._states.require(Routine.MOVIES, fence)
        now = self._clock()
        if movies:
            await self._movies.save_all(movies, now, fence)
            done.refreshed += len(movies)
        if gone:
            done.withdrawn += await self._movies.withdraw(gone, now, fence)
        if movies or gone:
            await self._revisions.advance(movies=True)
        await self._states.note(Routine.MOVIES, memory, progress, fence)

    async def purge(self, fence: int) -> dict[str, int]:
        """Delete what could not be fetched again in time; counts of movies. Raises `LeaseLostError`."""
        await self._states.require(Routine.MOVIES, fence)
        purged = await self._movies.purge(self._clock() - PURGED_AFTER)
        if purged:
            _log.warning("movies purged", extra={"purged": purged})
            await self._revisions.advance(movies=True)
        return {"purged": purged}
