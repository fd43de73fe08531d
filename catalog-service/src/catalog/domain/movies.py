"""Movies, and how a list of them is asked for."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from catalog.domain.permission import Genres, GenresMode

IMAGE_BASE = "https://image.tmdb.org/t/p/w500"


@dataclass(frozen=True, slots=True)
class Movie:
    """A movie as TMDB describes it.

    `release_date` and `poster_path` are None where TMDB has none; `popularity` has no fixed scale,
    `vote_average` goes from 0 to 10.
    """

    id: int
    title: str
    original_title: str
    original_language: str
    overview: str
    release_date: date | None
    genre_ids: tuple[int, ...]
    popularity: float
    vote_average: float
    vote_count: int
    poster_path: str | None

    @property
    def poster_url(self) -> str | None:
        """Where a poster 500 pixels wide is (https://developer.themoviedb.org/docs/image-basics)."""
        return f"{IMAGE_BASE}{self.poster_path}" if self.poster_path else None


@dataclass(frozen=True, slots=True)
class HeldMovie:
    """What we hold under an id: the movie and when TMDB said so; `movie` is None when TMDB has withdrawn it."""

    movie: Movie | None
    fetched_at: datetime


class SortKey(StrEnum):
    """What a list can be ordered by."""

    POPULARITY = "popularity"
    RELEASE_DATE = "releaseDate"
    VOTE_AVERAGE = "voteAverage"
    TITLE = "title"


@dataclass(frozen=True, slots=True)
class MovieOrder:
    """An order; equal ones follow by ascending id. A film without a date counts as older than any."""

    key: SortKey = SortKey.POPULARITY
    descending: bool = True


@dataclass(frozen=True, slots=True)
class MovieFilter:
    """What a list is narrowed to, besides what its reader may see.

    `words` are beginnings of words of either title, all of which have to be met: a search without any word in
    it finds nothing. Both dates are inclusive.
    """

    genre_ids: Genres = frozenset()
    genres_mode: GenresMode = GenresMode.ANY
    words: tuple[str, ...] | None = None
    released_from: date | None = None
    released_to: date | None = None
    min_rating: float | None = None
    language: str | None = None

    @property
    def finds_nothing(self) -> bool:
        return self.words == ()
