"""What a user has watched, and the rules about when."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from chassis.errors import FieldError, InvalidRequestError

# The oldest surviving film, Roundhay Garden Scene, is of 1888: nobody watched one before.
EARLIEST_WATCHED_AT = datetime(1888, 1, 1, tzinfo=UTC)
# A client's clock may be a little fast.
FUTURE_TOLERANCE = timedelta(minutes=5)
# The store's precision of times.
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Genre:
    """A genre by its TMDB id."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Movie:
    """A movie as it was when it was marked; genre names alone follow later renames."""

    id: int
    title: str
    release_date: date | None
    genres: tuple[Genre, ...]


@dataclass(frozen=True, slots=True)
class WatchedMovie:
    """One entry of a history. `created_at` is the first marking."""

    movie: Movie
    watched_at: datetime
    created_at: datetime


class SortKey(Enum):
    """What a history can be ordered by; the movie id, ascending, breaks every tie."""

    WATCHED_AT = "watchedAt"
    CREATED_AT = "createdAt"
    TITLE = "title"


@dataclass(frozen=True, slots=True)
class Order:
    key: SortKey = SortKey.WATCHED_AT
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Period:
    """The half-open time `[start, end)`; a missing bound is open."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class HistoryFilter:
    """Which entries are meant. None is no restriction.

    Every word of `title_words` must begin a word of the title; a search without a single word finds nothing.
    """

    movie_ids: frozenset[int] | None = None
    genre_ids: frozenset[int] | None = None
    period: Period = field(default_factory=Period)
    title_words: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no entry can be meant."""
        return self.title_words == ()


@dataclass(frozen=True, slots=True)
class Marking:
    """What marking did: the entry, and whether it is new."""

    entry: WatchedMovie
    is_first: bool


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry about to be stored for the first time."""

    user_id: uuid.UUID
    movie: Movie
    watched_at: datetime
    created_at: datetime


def to_milliseconds(moment: datetime) -> datetime:
    """`moment` without what is finer than the store's precision."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def bound_in_milliseconds(moment: datetime) -> datetime:
    """The first whole millisecond not before `moment`: compares with stored times as `moment` itself would."""
    cut = to_milliseconds(moment)
    if cut == moment or datetime.max.replace(tzinfo=UTC) - cut < MILLISECOND:
        return cut
    return cut + MILLISECOND


def check_watched_at(watched_at: datetime, now: datetime) -> None:
    """Raises `InvalidRequestError` for a time in the future or before there were films."""
    if watched_at > now + FUTURE_TOLERANCE:
        raise InvalidRequestError(errors=[FieldError("/watchedAt", "must not be in the future")])
    if watched_at < EARLIEST_WATCHED_AT:
        raise InvalidRequestError(errors=[FieldError("/watchedAt", "must not be before 1888-01-01T00:00:00Z")])
