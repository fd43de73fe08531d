"""When the routines run: at their time, when asked for, and again after a failure."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from catalog.clients.tmdb.errors import TmdbError
from catalog.domain.genres import RefusedListingError
from catalog.domain.sync import Routine, SyncFailure, retry_after
from catalog.services.genre_sync import GenreSync
from catalog.services.movie_sync import MovieSync
from catalog.storage.genres import GenreRepository
from catalog.storage.leases import Held
from catalog.storage.revisions import RevisionRepository
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock
from chassis.deadlines import stop

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_RECOUNT_SECONDS = 2.0


class SyncMetrics:
    """How the routines are doing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.runs = Counter("sync_runs", "Runs of a routine by outcome.", ("routine", "outcome"), registry=registry)
        self.succeeded_at = Gauge(
            "sync_last_success_timestamp_seconds", "When a routine last succeeded.", ("routine",), registry=registry
        )


class Synchronization:
    """What the holder of the lease does: both routines side by side, and the counts of movies per genre."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        genre_sync: GenreSync,
        movie_sync: MovieSync,
        states: SyncStateRepository,
        genres: GenreRepository,
        revisions: RevisionRepository,
        metrics: SyncMetrics,
        clock: Clock,
    ) -> None:
        self._genre_sync = genre_sync
        self._movie_sync = movie_sync
        self._states = states
        self._genres = genres
        self._revisions = revisions
        self._metrics = metrics
        self._clock = clock

    async def lead(self, held: Held) -> None:
        """Work until cancelled. Raises `LeaseLostError` when a later holder has begun."""
        await self._genres.begin(held.fence)
        routines = (
            (Routine.GENRES, self._genre_sync.first_due, self._genre_sync.run, self._genre_sync.interval),
            (Routine.MOVIES, self._movie_sync.first_due, self._movie_sync.run, self._movie_sync.interval),
        )
        for routine, due, _, _ in routines:
            await self._states.begin(routine, await due(), held.fence)
            # What an earlier holder did counts: freshness is the data's, not this process's.
            if (checked_at := (await self._states.state(routine)).checked_at) is not None:
                self._metrics.succeeded_at.labels(routine.value).set(checked_at.timestamp())
        # Nobody knows what the last holder wrote and did not tell.
        await self._revisions.advance(movies=True, genres=True)
        parts = [self._take_requests(), self._keep_counts()]
        parts += [self._repeat(*routine, held.fence) for routine in routines]
        await _together(parts)

    async def _take_requests(self) -> None:
        while True:
            if await self._states.take_up(self._clock()):
                _log.info("synchronisation asked for")
            await asyncio.sleep(_LOOK_SECONDS)

    async def _repeat(
        self,
        routine: Routine,
        due: Callable[[], Awaitable[datetime | None]],
        run: Callable[[int], Awaitable[None]],
        interval: timedelta,
        fence: int,
    ) -> None:
        while True:
            at = (await self._states.state(routine)).next_at
            if at is None and (at := await due()) is not None:
                await self._states.schedule(routine, at, fence)
            if at is not None and at <= self._clock():
                await self._run(routine, run, interval, fence)
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _run(
        self,
        routine: Routine,
        run: Callable[[int], Awaitable[None]],
        interval: timedelta,
        fence: int,
    ) -> None:
        await self._states.start(routine, self._clock(), fence)
        try:
            await run(fence)
        except* (TmdbError, RefusedListingError) as group:
            await self._fail(routine, group.exceptions[0], interval, fence)
        else:
            self._metrics.runs.labels(routine.value, "succeeded").inc()
            self._metrics.succeeded_at.labels(routine.value).set(self._clock().timestamp())

    async def _fail(self, routine: Routine, error: BaseException, interval: timedelta, fence: int) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        now = self._clock()
        code = error.code if isinstance(error, TmdbError) else "listing-refused"
        failures = (await self._states.state(routine)).failures + 1
        next_at = now + retry_after(failures, interval)
        failure = SyncFailure(now, code, str(error))
        await self._states.fail(routine, failure, failures, next_at, fence)
        self._metrics.runs.labels(routine.value, "failed").inc()
        _log.error(
            "synchronisation failed",
            extra={"routine": routine.value, "reason": f"{code}: {error}", "failures": failures, "next": next_at},
        )

    async def _keep_counts(self) -> None:
        """Count the movies of every genre anew whenever movies have changed."""
        counted: int | None = None
        while True:
            present = (await self._revisions.current()).movies
            if present != counted:
                if await self._genres.recount():
                    await self._revisions.advance(genres=True)
                counted = present
            await asyncio.sleep(_RECOUNT_SECONDS)


async def _together(parts: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all of these, none of which ends, until cancelled or until one fails. Raises what that raises.

    Not a task group, which takes a part that was cancelled for one that has ended well: a cancellation that comes from
    nobody, as libraries have been seen to let out, would stop a routine for ever and leave the others as they are.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.cancelled():
                raise RuntimeError("a part of the synchronisation was cancelled by nobody")
            task.result()
    finally:
        await stop(*tasks)
