"""The movie routine: a walk through TMDB's lists from time to time, and changes every day."""

from datetime import datetime, timedelta

from catalog.clients.tmdb.errors import TmdbError
from catalog.domain.sync import Routine
from catalog.services.movie_refresh import MovieRefresh
from catalog.services.movie_walk import MovieWalk
from catalog.storage.genres import GenreRepository
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock
from chassis.mongo import Document

# Counts of what was looked at and is as it was.
_NO_CHANGE = ("unchanged", "skipped", "skippedDetails")


class MovieSync:
    """`interval` is the time between two runs, `walk_interval` that between two that walk through everything."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        walk: MovieWalk,
        refresh: MovieRefresh,
        genres: GenreRepository,
        states: SyncStateRepository,
        interval: timedelta,
        walk_interval: timedelta,
        clock: Clock,
    ) -> None:
        self._walk = walk
        self._refresh = refresh
        self._genres = genres
        self._states = states
        self.interval = interval
        self._walk_interval = walk_interval
        self._clock = clock

    async def first_due(self) -> datetime | None:
        """When the next run is due; None while no genres are known."""
        if not await self._genres.all():
            return None
        state = await self._states.state(Routine.MOVIES)
        is_interrupted = state.running_since is not None
        return self._clock() if is_interrupted or state.next_at is None else state.next_at

    async def run(self, fence: int) -> None:
        """One run. What was stored until a failure stays, and the next run goes on from there.

        Raises `TmdbError` and `LeaseLostError`.
        """
        try:
            counts = await self._fetch(fence)
        except (TmdbError, ExceptionGroup):
            # TMDB's terms hold also while it gives us nothing, and then most of all: it may have ended our permission.
            await self._refresh.purge(fence)
            raise
        counts |= await self._refresh.purge(fence)
        now = self._clock()
        has_changed = any(count for name, count in counts.items() if name not in _NO_CHANGE)
        await self._states.succeed(Routine.MOVIES, now, now + self.interval, counts if has_changed else None, fence)

    async def _fetch(self, fence: int) -> dict[str, int]:
        memory = await self._states.memory(Routine.MOVIES)
        walked_at: datetime | None = memory.get("walkedAt")
        counts: dict[str, int] = {}
        if self._walk_is_due(memory, walked_at):
            counts |= await self._walk.run(fence)
            noted = {"walk": None, "walkedAt": self._clock(), "wanted": False}
            await self._states.note(Routine.MOVIES, noted, {"phase": "changes"}, fence)
        if walked_at is not None:
            counts |= await self._refresh.run(fence)
        return counts

    def _walk_is_due(self, memory: Document, walked_at: datetime | None) -> bool:
        if walked_at is None or memory.get("walk") or memory.get("wanted"):
            return True
        return self._clock() - walked_at >= self._walk_interval
