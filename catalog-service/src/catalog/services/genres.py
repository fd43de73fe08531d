"""Listing genres: there are a few dozen, so they are filtered and sorted in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from catalog.domain.errors import GenreNotFoundError
from catalog.domain.genres import Genre, GenreStatus
from catalog.services.catalog_view import CatalogView
from chassis.pagination import PageRequest, Slice
from chassis.text import fold


class GenreSortKey(StrEnum):
    NAME = "name"
    ID = "id"
    MOVIE_COUNT = "movieCount"


_SORT_VALUES: dict[GenreSortKey, Callable[[Genre], Any]] = {
    GenreSortKey.NAME: lambda genre: fold(genre.name),
    GenreSortKey.ID: lambda genre: genre.id,
    GenreSortKey.MOVIE_COUNT: lambda genre: genre.movie_count,
}


@dataclass(frozen=True, slots=True)
class GenreFilter:
    """`name` is found anywhere in a genre's name, without regard to case and accents."""

    name: str | None = None
    ids: frozenset[int] | None = None
    status: GenreStatus | None = None
    min_movies: int = 0

    def accepts(self, genre: Genre) -> bool:
        return (
            (self.name is None or fold(self.name) in fold(genre.name))
            and (self.ids is None or genre.id in self.ids)
            and (self.status is None or genre.status is self.status)
            and genre.movie_count >= self.min_movies
        )


class GenreService:
    def __init__(self, view: CatalogView) -> None:
        self._view = view

    async def list_genres(
        self, narrowed: GenreFilter, key: GenreSortKey, page: PageRequest, *, descending: bool
    ) -> Slice[Genre]:
        snapshot = await self._view.current()
        found = sorted(filter(narrowed.accepts, snapshot.genres.values()), key=lambda genre: genre.id)
        # Sorting is stable, also when reversed: equal ones stay in the order of their ids.
        found.sort(key=_SORT_VALUES[key], reverse=descending)
        return Slice(found[page.offset : page.offset + page.size], len(found))

    async def get_genre(self, genre_id: int) -> Genre:
        """Raises `GenreNotFoundError`."""
        genre = (await self._view.current()).genres.get(genre_id)
        if genre is None:
            raise GenreNotFoundError
        return genre
