"""What administrators see of the synchronisation with TMDB, and asking for one."""

from dataclasses import dataclass
from datetime import datetime

from catalog.domain.errors import SyncRunningError
from catalog.domain.sync import Routine, RoutineState
from catalog.storage.movies import MovieRepository
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock
from chassis.mongo import translate_outage


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Both routines, when a run was asked for that has not begun, and how many movies are held."""

    genres: RoutineState
    movies: RoutineState
    requested_at: datetime | None
    movies_held: int

    @property
    def is_running(self) -> bool:
        return bool(self.genres.running_since or self.movies.running_since or self.requested_at)


class SyncService:
    def __init__(self, states: SyncStateRepository, movies: MovieRepository, clock: Clock) -> None:
        self._states = states
        self._movies = movies
        self._clock = clock

    async def status(self) -> SyncStatus:
        async with translate_outage():
            return SyncStatus(
                genres=await self._states.state(Routine.GENRES),
                movies=await self._states.state(Routine.MOVIES),
                requested_at=await self._states.asked_at(),
                movies_held=await self._movies.total(),
            )

    async def request(self) -> SyncStatus:
        """Ask the worker for a run of both routines. Raises `SyncRunningError` while one is asked for or running."""
        async with translate_outage():
            if (await self.status()).is_running or not await self._states.ask(self._clock()):
                raise SyncRunningError
            return await self.status()
