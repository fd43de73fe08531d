"""Events about users."""

import uuid
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from chassis.events.consumer import Handler
from chassis.events.envelope import Event
from subscription.services.users import UserService

USER_DELETED = "identity.user.deleted.v1"


class UserDeleted(BaseModel):
    """`data` of the event, as far as this service reads it."""

    model_config = ConfigDict(extra="ignore")

    user_id: uuid.UUID = Field(alias="userId")


def user_handlers(users: UserService) -> Mapping[str, Handler]:
    """What to do with each type of event in the queue."""

    async def deleted(event: Event) -> None:
        # No revision is compared: deletion is final, so applying it twice or late does the same.
        await users.forget(UserDeleted.model_validate(event.data).user_id)

    return {USER_DELETED: deleted}
