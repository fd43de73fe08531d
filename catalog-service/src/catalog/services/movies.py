"""Listing and reading movies that the caller is permitted to see."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from catalog.domain.errors import MovieNotFoundError, MovieNotInYourGenresError
from catalog.domain.movies import Movie, MovieFilter, MovieOrder
from catalog.domain.permission import GenreCondition, GenreMatch, Genres, permitted
from catalog.services.catalog_view import CatalogView, Snapshot
from catalog.services.entitlements import EntitlementService
from catalog.services.movie_lookup import MovieLookup
from catalog.services.single_flight import SingleFlight
from catalog.storage.movies import MovieRepository
from chassis.mongo import translate_outage
from chassis.pagination import PageRequest, Slice
from chassis.tokens import Principal

_REMEMBERED_TOTALS = 5_000


@dataclass(frozen=True, slots=True)
class Listing:
    """A page, the catalog that it was read from, and the genres that it depends on.

    `can_be_shared` says that it holds for everybody entitled to just `entitled`: nothing was asked for that
    had to be confirmed first.
    """

    page: Slice[Movie]
    snapshot: Snapshot
    entitled: Genres
    can_be_shared: bool


class MovieService:
    def __init__(
        self,
        movies: MovieRepository,
        lookup: MovieLookup,
        entitlements: EntitlementService,
        view: CatalogView,
        match: GenreMatch,
    ) -> None:
        self._movies = movies
        self._lookup = lookup
        self._entitlements = entitlements
        self._view = view
        self._match = match
        self._totals: OrderedDict[Hashable, int] = OrderedDict()
        self._counting: SingleFlight[Hashable, int] = SingleFlight()

    async def list_movies(
        self, principal: Principal, narrowed: MovieFilter, order: MovieOrder, page: PageRequest
    ) -> Listing:
        """A page of what the caller may see; empty when that is nothing."""
        entitled = await self._entitlements.entitled(principal)
        would_refuse = not entitled or bool(narrowed.genre_ids - entitled)
        if would_refuse:
            entitled = await self._entitlements.confirmed(principal)
        snapshot = await self._view.current()
        condition = permitted(entitled, self._match, narrowed.genre_ids, narrowed.genres_mode)
        found: Slice[Movie] = Slice([], 0)
        if condition is not None and not narrowed.finds_nothing:
            found = await self._read(condition, narrowed, order, page, snapshot)
        return Listing(found, snapshot, entitled, can_be_shared=not would_refuse)

    async def get_movie(self, principal: Principal, movie_id: int) -> Movie:
        """Raises `MovieNotFoundError` and `MovieNotInYourGenresError`."""
        movie = await self._lookup.find(movie_id)
        if movie is None:
            raise MovieNotFoundError
        if not self._is_permitted(movie, await self._entitlements.entitled(principal)) and not self._is_permitted(
            movie, await self._entitlements.confirmed(principal)
        ):
            raise MovieNotInYourGenresError
        return movie

    def _is_permitted(self, movie: Movie, entitled: Genres) -> bool:
        condition = permitted(entitled, self._match)
        return condition is not None and condition.accepts(movie.genre_ids)

    async def _read(
        self, condition: GenreCondition, narrowed: MovieFilter, order: MovieOrder, page: PageRequest, snapshot: Snapshot
    ) -> Slice[Movie]:
        async with translate_outage():
            total = await self._total(condition, narrowed, snapshot)
            if page.offset >= total:
                return Slice([], total)
            return Slice(await self._movies.page(condition, narrowed, order, page.offset, page.size), total)

    async def _total(self, condition: GenreCondition, narrowed: MovieFilter, snapshot: Snapshot) -> int:
        """How many movies there are, counted once per revision of the catalog."""
        key = (snapshot.revisions.movies, condition, narrowed)
        if (total := self._totals.get(key)) is not None:
            self._totals.move_to_end(key)
            return total
        return await self._counting.do(key, lambda: self._count(key, condition, narrowed))

    async def _count(self, key: Hashable, condition: GenreCondition, narrowed: MovieFilter) -> int:
        total = await self._movies.count(condition, narrowed)
        # Remembered before the flight lands: whoever asks next finds either the one or the other.
        self._totals[key] = total
        while len(self._totals) > _REMEMBERED_TOTALS:
            self._totals.popitem(last=False)
        return total
