"""Genres on the wire."""

from pydantic import Field

from catalog.domain.genres import GenreStatus
from chassis.fields import ResponseModel, Timestamp


class GenreRef(ResponseModel):
    """A genre by name."""

    id: int = Field(examples=[28])
    name: str = Field(examples=["Action"])


class GenreRead(GenreRef):
    """A genre as the catalog holds it; `retired` means that TMDB no longer lists it."""

    status: GenreStatus = Field(examples=["active"])
    movie_count: int = Field(examples=[142])
    created_at: Timestamp
    updated_at: Timestamp
