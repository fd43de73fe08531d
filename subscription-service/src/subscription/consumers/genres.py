"""Events about genres."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from chassis.events.consumer import Handler
from chassis.events.envelope import Event
from subscription.domain.genres import Genre, GenreStatus
from subscription.services.genres import GenreService

GENRE_CHANGED = "catalog.genre.changed.v1"


class GenreChanged(BaseModel):
    """`data` of the event, as far as this service reads it."""

    model_config = ConfigDict(extra="ignore")

    genre_id: int = Field(alias="genreId")
    revision: int
    name: Annotated[str, Field(min_length=1, max_length=200)]
    status: GenreStatus


def genre_handlers(genres: GenreService) -> Mapping[str, Handler]:
    """What to do with each type of event in the queue."""

    async def changed(event: Event) -> None:
        data = GenreChanged.model_validate(event.data)
        await genres.apply(Genre(data.genre_id, data.name, data.status), data.revision)

    return {GENRE_CHANGED: changed}
