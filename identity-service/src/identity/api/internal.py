"""What the suite's other processes ask; not reachable through the gateway."""

from typing import Annotated

from fastapi import Depends
from pydantic import Field

from chassis.app import service_router
from chassis.auth import internal_caller
from chassis.fields import Id, RequestModel, ResponseModel, Timestamp
from identity.api.dependencies import CurrentResources, not_stored
from identity.domain.users import Status

router = service_router(
    include_in_schema=False, dependencies=[Depends(internal_caller), Depends(not_stored)], prefix="/internal/v1"
)


class UserLookup(RequestModel):
    ids: Annotated[list[Id], Field(max_length=1000)]


class KnownUser(ResponseModel):
    id: Id
    status: Status


class KnownUsers(ResponseModel):
    users: list[KnownUser]


class RevokedSession(ResponseModel):
    sid: Id
    until: Timestamp


class RevokedUser(ResponseModel):
    user_id: Id
    min_version: int | None
    blocked: bool


class RevocationList(ResponseModel):
    sessions: list[RevokedSession]
    users: list[RevokedUser]
    as_of: Timestamp


@router.post("/users/lookup")
async def look_up_users(body: UserLookup, resources: CurrentResources) -> KnownUsers:
    found = await resources.accounts.list_statuses(body.ids)
    return KnownUsers(users=[KnownUser(id=user_id, status=status) for user_id, status in found])


@router.get("/revocations")
async def list_revocations(resources: CurrentResources) -> RevocationList:
    return RevocationList.model_validate(await resources.revocation_snapshot.read())
