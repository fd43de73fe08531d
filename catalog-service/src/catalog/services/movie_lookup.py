"""Finding one movie, here or at TMDB."""

import asyncio
import logging
import time
from datetime import timedelta

from catalog.clients.tmdb.client import TmdbClient
from catalog.clients.tmdb.errors import TmdbError, TmdbNotFoundError
from catalog.domain.errors import MovieLookupUnavailableError
from catalog.domain.movies import Movie
from catalog.services.single_flight import SingleFlight
from catalog.storage.movies import MovieRepository
from catalog.storage.revisions import RevisionRepository
from chassis.clock import Clock
from chassis.mongo import translate_outage

_log = logging.getLogger(__name__)

UNKNOWN_FOR = timedelta(hours=1)
"""How long TMDB's word that it has no such movie is believed."""
# However long TMDB wants to be left alone: somebody waits for the answer.
_LOOKUP_SECONDS = 4.0
# After a failure TMDB is left alone for so long: many ids must not each wait for the same time-out.
_REST_SECONDS = 2.0


class MovieLookup:
    """A movie that is not held is asked for once, however many want it, and held from then on."""

    def __init__(self, movies: MovieRepository, revisions: RevisionRepository, tmdb: TmdbClient, clock: Clock) -> None:
        self._movies = movies
        self._revisions = revisions
        self._tmdb = tmdb
        self._clock = clock
        self._flights: SingleFlight[int, Movie | None] = SingleFlight()
        self._rests_until = float("-inf")

    async def find(self, movie_id: int) -> Movie | None:
        """The movie, or None when neither we nor TMDB have it.

        Raises `MovieLookupUnavailableError` when it is not held and TMDB cannot be asked.
        """
        async with translate_outage():
            if (held := await self._movies.find(movie_id)) is not None:
                return held.movie
            return await self._flights.do(movie_id, lambda: self._look_up(movie_id))

    async def _look_up(self, movie_id: int) -> Movie | None:
        # Looked at again: whoever found nothing a moment ago may come here after another's answer has been stored.
        if (held := await self._movies.find(movie_id)) is not None:
            return held.movie
        if await self._movies.is_unknown(movie_id, self._clock()):
            return None
        return await self._fetch(movie_id)

    async def _fetch(self, movie_id: int) -> Movie | None:
        if time.monotonic() < self._rests_until:
            raise MovieLookupUnavailableError
        try:
            async with asyncio.timeout(_LOOKUP_SECONDS):
                movie = await self._tmdb.movie(movie_id)
        except TmdbNotFoundError:
            await self._movies.remember_unknown(movie_id, self._clock() + UNKNOWN_FOR)
            return None
        except (TmdbError, TimeoutError) as error:
            _log.warning("movie not looked up", extra={"movie": movie_id, "reason": repr(error)})
            self._rests_until = time.monotonic() + _REST_SECONDS
            raise MovieLookupUnavailableError from error
        await self._movies.save(movie, self._clock())
        await self._revisions.advance(movies=True)
        return movie
