"""/v1/sync."""

from fastapi import Depends, Request, Response

from catalog.api.dependencies import NOT_MODIFIED, ServicesDep, answer
from catalog.api.schemas.sync import SyncRead
from catalog.domain.errors import SyncRunningError
from chassis.app import service_router
from chassis.auth import administrator
from chassis.errors import ForbiddenError, InvalidRequestError, UnauthenticatedError
from chassis.mongo import StoreUnavailableError
from chassis.problems import problem_responses
from chassis.tokens import InvalidTokenError

router = service_router(tags=["sync"], dependencies=[Depends(administrator)])

_ALWAYS = (UnauthenticatedError, InvalidTokenError, ForbiddenError, StoreUnavailableError, InvalidRequestError)


@router.get(
    "/v1/sync",
    summary="Read the state of the synchronisation with TMDB",
    response_model=SyncRead,
    responses=NOT_MODIFIED | problem_responses(*_ALWAYS),
)
async def read_sync(request: Request, services: ServicesDep) -> Response:
    return answer(request, SyncRead.from_status(await services.sync.status()))


@router.post(
    "/v1/sync",
    status_code=202,
    summary="Ask for a synchronisation now",
    responses={
        202: {"headers": {"Location": {"description": "Where its progress is seen.", "schema": {"type": "string"}}}},
        **problem_responses(*_ALWAYS, SyncRunningError),
    },
)
async def request_sync(services: ServicesDep, response: Response) -> SyncRead:
    response.headers.update({"location": "/v1/sync", "cache-control": "no-store"})
    return SyncRead.from_status(await services.sync.request())
