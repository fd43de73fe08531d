"""Movies on the wire."""

from collections.abc import Mapping
from datetime import date

from pydantic import Field

from catalog.api.schemas.genres import GenreRef
from catalog.domain.genres import Genre
from catalog.domain.movies import Movie
from chassis.fields import ResponseModel


class MovieRead(ResponseModel):
    """A movie as TMDB describes it. This product uses the TMDB API but is not endorsed or certified by TMDB."""

    id: int = Field(examples=[603])
    title: str = Field(examples=["The Matrix"])
    original_title: str = Field(examples=["The Matrix"])
    original_language: str = Field(description="ISO 639-1 code.", examples=["en"])
    overview: str = Field(description="Empty where TMDB has none.", examples=["A hacker learns what reality is."])
    release_date: date | None = Field(examples=["1999-03-31"])
    genres: list[GenreRef]
    popularity: float = Field(description="TMDB's figure, without a fixed scale.", examples=[94.2])
    vote_average: float = Field(description="From 0 to 10.", examples=[8.2])
    vote_count: int = Field(examples=[26_000])
    poster_url: str | None = Field(examples=["https://image.tmdb.org/t/p/w500/f89U3ADr1oiB1s9GkdPOEpXUk5H.jpg"])

    @classmethod
    def from_movie(cls, movie: Movie, genres: Mapping[int, Genre]) -> "MovieRead":
        """`movie` with the names of its genres; one that TMDB never listed has no name and is left out."""
        return cls(
            id=movie.id,
            title=movie.title,
            original_title=movie.original_title,
            original_language=movie.original_language,
            overview=movie.overview,
            release_date=movie.release_date,
            genres=[GenreRef(id=i, name=genres[i].name) for i in movie.genre_ids if i in genres],
            popularity=movie.popularity,
            vote_average=movie.vote_average,
            vote_count=movie.vote_count,
            poster_url=movie.poster_url,
        )
