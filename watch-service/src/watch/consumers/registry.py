"""Which queue's events go where. Payload models read what is needed and ignore members that come later."""

from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chassis.events.consumer import Handler
from chassis.events.envelope import Event
from chassis.fields import Id
from watch.domain.history import Genre
from watch.services.lifecycle import LifecycleService

USERS_QUEUE = "watch.users.v1"
GENRES_QUEUE = "watch.genres.v1"


class _Payload(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_camel)


class UserDeleted(_Payload):
    user_id: Id
    revision: int = Field(ge=0)


class GenreChanged(_Payload):
    genre_id: int = Field(ge=1)
    revision: int = Field(ge=0)
    name: str = Field(min_length=1)


def handlers(create_service: Callable[[], LifecycleService]) -> Mapping[str, Mapping[str, Handler]]:
    """Event type → handler, for each queue."""

    async def user_deleted(event: Event) -> None:
        payload = UserDeleted.model_validate(event.data)
        await create_service().erase_user(payload.user_id, payload.revision)

    async def genre_changed(event: Event) -> None:
        payload = GenreChanged.model_validate(event.data)
        await create_service().rename_genre(Genre(payload.genre_id, payload.name), payload.revision)

    return {
        USERS_QUEUE: {"identity.user.deleted.v1": user_deleted},
        GENRES_QUEUE: {"catalog.genre.changed.v1": genre_changed},
    }
