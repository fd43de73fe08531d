"""Histories as JSON and as CSV."""

from collections.abc import Iterable
from datetime import date
from typing import Self

from pydantic import Field

from chassis.clock import to_rfc3339
from chassis.fields import RequestModel, ResponseModel, Timestamp
from watch.domain.history import WatchedMovie

CSV_HEADER = ("movieId", "title", "releaseDate", "genreIds", "genres", "watchedAt", "createdAt")
_SEPARATOR = "|"


class WatchedCreate(RequestModel):
    """When the movie was watched."""

    watched_at: Timestamp | None = Field(
        default=None,
        description=(
            "At most 5 minutes in the future and not before 1888, kept to the millisecond. Without it a first "
            "marking takes the present moment, and a later one leaves the time alone."
        ),
    )


class GenreRead(ResponseModel):
    id: int = Field(examples=[28])
    name: str = Field(examples=["Action"])


class MovieRead(ResponseModel):
    """The movie as it was when it was marked; names of genres follow renames."""

    id: int = Field(examples=[603])
    title: str = Field(examples=["The Matrix"])
    release_date: date | None = Field(examples=["1999-03-31"])
    genres: list[GenreRead]


class WatchedRead(ResponseModel):
    """One entry of a history; `createdAt` is the first marking."""

    movie: MovieRead
    watched_at: Timestamp
    created_at: Timestamp

    @classmethod
    def of(cls, entry: WatchedMovie) -> Self:
        return cls.model_validate(entry)


def csv_row(entry: WatchedMovie) -> Iterable[object]:
    """The cells of one entry, in the order of `CSV_HEADER`."""
    movie = entry.movie
    return (
        movie.id,
        movie.title,
        movie.release_date,
        _SEPARATOR.join(str(genre.id) for genre in movie.genres),
        _SEPARATOR.join(genre.name for genre in movie.genres),
        to_rfc3339(entry.watched_at),
        to_rfc3339(entry.created_at),
    )
