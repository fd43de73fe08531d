"""Walking through TMDB's lists: the most popular movies of every genre, a few pages at a time.

TMDB shows at most 500 pages of 20 of any list. Where more is wanted of a genre, the list is cut into spans of
release dates that are each short enough, and the spans are walked side by side by popularity. Progress is
noted after every few pages, so that a walk that is killed goes on where it was.
"""

import asyncio
import logging
import time
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import Any

from catalog.clients.tmdb.client import TmdbClient
from catalog.clients.tmdb.models import LAST_PAGE, MoviePage
from catalog.domain.genres import GenreStatus
from catalog.domain.movies import Movie
from catalog.domain.sync import Routine
from catalog.storage.genres import GenreRepository
from catalog.storage.movies import MovieWriter
from catalog.storage.revisions import RevisionRepository
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock

_log = logging.getLogger(__name__)

ROWS_PER_PAGE = 20
_MOST_ROWS = LAST_PAGE * ROWS_PER_PAGE
_PAGES_AT_ONCE = 8
# The first films are from the 1870s; announced ones have dates some decades ahead.
_FIRST_DATE = date(1870, 1, 1)
_YEARS_AHEAD = timedelta(days=365 * 30)
_LOG_SECONDS = 10.0


@dataclass(slots=True)
class Span:
    """A list that is walked: all movies of a leg or those of a span of release dates.

    `page` is the next one to fetch, `pages` the last, `popularity` that of the last row seen.
    """

    page: int
    pages: int
    popularity: float
    released_from: str | None = None
    released_to: str | None = None

    @property
    def is_done(self) -> bool:
        return self.page > self.pages

    def dates(self) -> dict[str, date]:
        bounds = {"released_from": self.released_from, "released_to": self.released_to}
        return {name: date.fromisoformat(bound) for name, bound in bounds.items() if bound}


@dataclass(slots=True)
class Leg:
    """The part of a walk that is about one genre, or about all movies when `genre_id` is None."""

    genre_id: int | None
    spans: list[Span]
    taken: int = 0


@dataclass(slots=True)
class Walk:
    """How far a walk has come; `genres_left` is None before TMDB was asked how much there is."""

    genres_left: list[int] | None = None
    leg: Leg | None = None
    pages: int = 0
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    skipped: int = 0
    started_at: str = ""

    @property
    def is_done(self) -> bool:
        return self.leg is None and self.genres_left == []

    @classmethod
    def load(cls, noted: dict[str, Any]) -> "Walk":
        leg = noted.get("leg")
        known = {name: noted[name] for name in cls.__dataclass_fields__ if name in noted and name != "leg"}
        spans = [Span(**span) for span in leg["spans"]] if leg else []
        return cls(**known, leg=Leg(leg["genre_id"], spans, leg["taken"]) if leg else None)

    def progress(self) -> dict[str, Any]:
        """What an administrator is shown."""
        span = self.leg.spans[0] if self.leg and self.leg.spans else None
        return {
            "phase": "walk",
            "genreId": self.leg.genre_id if self.leg else None,
            "page": min(span.page, span.pages) if span else None,
            "pagesOfList": span.pages if span else None,
            "genresLeft": len(self.genres_left) if self.genres_left is not None else None,
            "pagesFetched": self.pages,
            **self.counts(),
        }

    def counts(self) -> dict[str, int]:
        return {
            "inserted": self.inserted,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
        }


@dataclass(slots=True)
class _Batch:
    """Movies fetched and not yet stored."""

    movies: list[Movie] = field(default_factory=list)

    def add(self, page: MoviePage, walk: Walk) -> None:
        self.movies.extend(page.movies)
        walk.pages += 1
        walk.skipped += page.skipped


class MovieWalk:
    """One walk at a time; `per_genre` is how many of the most popular movies of a genre are wanted."""

    def __init__(  # noqa: PLR0913 - all are needed, none has a sensible default
        self,
        tmdb: TmdbClient,
        genres: GenreRepository,
        movies: MovieWriter,
        states: SyncStateRepository,
        revisions: RevisionRepository,
        per_genre: int,
        clock: Clock,
    ) -> None:
        self._tmdb = tmdb
        self._genres = genres
        self._movies = movies
        self._states = states
        self._revisions = revisions
        self._per_genre = per_genre
        self._clock = clock
        self._logged_at = 0.0

    async def run(self, fence: int) -> dict[str, int]:
        """Walk to the end, from where the last run has stopped; counts of movies.

        Raises `TmdbError` and `LeaseLostError`.
        """
        noted = (await self._states.memory(Routine.MOVIES)).get("walk")
        walk = Walk.load(noted) if noted else Walk(started_at=self._clock().isoformat())
        while not walk.is_done:
            batch = _Batch()
            if walk.leg is None:
                await self._open_leg(walk, batch)
            else:
                await self._advance(walk, walk.leg, batch)
            self._close_leg(walk)
            await self._store(walk, batch.movies, fence)
        _log.info("movies walked", extra={"pages": walk.pages, **walk.counts()})
        return walk.counts()

    async def _open_leg(self, walk: Walk, batch: _Batch) -> None:
        if walk.genres_left is None:
            await self._plan(walk, batch)
            return
        genre_id = walk.genres_left.pop(0)
        page = await self._tmdb.discover(1, genre_id=genre_id)
        batch.add(page, walk)
        spans = [self._span(page, min(self._per_genre, _MOST_ROWS))]
        if self._per_genre > _MOST_ROWS and page.total_results > _MOST_ROWS:
            # Movies without a date are in no span, so that the list as a whole is walked as well.
            last = self._clock().date() + _YEARS_AHEAD
            spans += await self._cut(genre_id, _FIRST_DATE, last, walk, batch)
        walk.leg = Leg(genre_id, spans, taken=len(page.movies))

    async def _plan(self, walk: Walk, batch: _Batch) -> None:
        """Decide what there is to walk: what fits into one list is not asked for genre by genre."""
        page = await self._tmdb.discover(1)
        if page.total_results <= min(self._per_genre, _MOST_ROWS):
            batch.add(page, walk)
            walk.genres_left = []
            walk.leg = Leg(None, [self._span(page, _MOST_ROWS)], taken=len(page.movies))
            return
        genres = await self._genres.all()
        walk.genres_left = sorted(genre.id for genre in genres.values() if genre.status is GenreStatus.ACTIVE)

    @staticmethod
    def _span(page: MoviePage, most_rows: int, dates: tuple[date, date] | None = None) -> Span:
        """The list whose first page has been fetched."""
        pages = min(page.total_pages, LAST_PAGE, -(-most_rows // ROWS_PER_PAGE))
        popularity = page.movies[-1].popularity if page.movies else 0.0
        if dates is None:
            return Span(2, pages, popularity)
        return Span(2, pages, popularity, dates[0].isoformat(), dates[1].isoformat())

    async def _cut(self, genre_id: int, first: date, last: date, walk: Walk, batch: _Batch) -> list[Span]:
        """Spans of release dates of a genre, none longer than TMDB shows; one day is never cut."""
        page = await self._tmdb.discover(1, genre_id=genre_id, released_from=first, released_to=last)
        batch.add(page, walk)
        if page.total_results <= _MOST_ROWS or first == last:
            return [self._span(page, _MOST_ROWS, (first, last))] if page.total_results else []
        middle = first + (last - first) // 2
        earlier = await self._cut(genre_id, first, middle, walk, batch)
        return earlier + await self._cut(genre_id, middle + timedelta(days=1), last, walk, batch)

    async def _advance(self, walk: Walk, leg: Leg, batch: _Batch) -> None:
        """Fetch the next pages of the spans whose next movies are the most popular ones."""
        open_spans = sorted((span for span in leg.spans if not span.is_done), key=lambda span: -span.popularity)
        chosen = open_spans[:_PAGES_AT_ONCE]
        of_each = -(-_PAGES_AT_ONCE // len(chosen))
        async with asyncio.TaskGroup() as group:
            fetched = [
                (span, group.create_task(self._tmdb.discover(number, genre_id=leg.genre_id, **span.dates())))
                for span in chosen
                for number in range(span.page, min(span.page + of_each, span.pages + 1))
            ]
        for span, task in fetched:
            page = task.result()
            batch.add(page, walk)
            leg.taken += len(page.movies)
            span.popularity = min([span.popularity, *(movie.popularity for movie in page.movies)])
            span.page += 1

    def _close_leg(self, walk: Walk) -> None:
        leg = walk.leg
        if leg is None:
            return
        has_enough = leg.genre_id is not None and len(leg.spans) > 1 and leg.taken >= self._per_genre
        leg.spans = [span for span in leg.spans if not span.is_done]
        if has_enough or not leg.spans:
            walk.leg = None

    async def _store(self, walk: Walk, movies: list[Movie], fence: int) -> None:
        """Movies first and how far we are after: what is fetched twice changes nothing."""
        await self._states.require(Routine.MOVIES, fence)
        saved = await self._movies.save_all(movies, self._clock(), fence)
        walk.inserted += saved.inserted
        walk.changed += saved.changed
        walk.unchanged += saved.unchanged
        if saved.inserted or saved.changed:
            await self._revisions.advance(movies=True)
        await self._states.note(Routine.MOVIES, {"walk": asdict(walk)}, walk.progress(), fence)
        if time.monotonic() - self._logged_at > _LOG_SECONDS:
            self._logged_at = time.monotonic()
            _log.info("movies are being fetched", extra=walk.progress())
