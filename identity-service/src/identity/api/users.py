"""Registration and accounts."""

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response

from chassis.app import service_router
from chassis.conditional import is_current
from chassis.errors import (
    ForbiddenError,
    IdempotencyInFlightError,
    IdempotencyKeyReusedError,
    PreconditionFailedError,
)
from chassis.fields import Id
from chassis.idempotency import Answer, idempotent_request
from chassis.pagination import Page, PageParams, add_page_headers, describe_page
from chassis.problems import problem_responses
from identity.api.dependencies import (
    ALWAYS,
    PRIVATE,
    PROTECTED,
    WITH_BODY,
    CurrentAdministrator,
    CurrentCaller,
    CurrentClient,
    CurrentResources,
    PathId,
    current_caller,
    may_edit,
    not_stored,
)
from identity.api.schemas.sessions import PasswordChange
from identity.api.schemas.users import UserCreate, UserExport, UserRead, UserUpdate
from identity.domain.errors import (
    EmailTakenError,
    InvalidCurrentPasswordError,
    LastAdminError,
    OverloadedError,
    ReauthenticationRequiredError,
    TooManyRequestsError,
    UserNotFoundError,
)
from identity.domain.users import Registration, Role, Status, User, UserFilter, UserSort

_ETAG = {"ETag": {"description": "Strong entity tag of this state of the user.", "schema": {"type": "string"}}}
_CREATED = {
    "headers": {
        **_ETAG,
        "Location": {"description": "Where the user can be read.", "schema": {"type": "string"}},
        "Idempotency-Replayed": {"description": "Present on a repeated answer.", "schema": {"type": "string"}},
    }
}
# Declared for the documentation; `idempotent_request` reads it, because it may be sent only once.
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="Repeating a request with its key gives the first answer again."),
]
_READ: dict[int | str, dict[str, Any]] = {
    200: {"headers": _ETAG},
    304: {"description": "Not modified: `If-None-Match` names the current entity tag"},
}
_EDITED: dict[int | str, dict[str, Any]] = {200: {"headers": _ETAG}}
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="Tags the client has: 304 if one is current.")
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The `ETag` that this change is based on; left out, it is made to any state."),
]
_UPDATE = (
    *PROTECTED,
    *WITH_BODY,
    ForbiddenError,
    InvalidCurrentPasswordError,
    EmailTakenError,
    LastAdminError,
    PreconditionFailedError,
)
_THROTTLED = (TooManyRequestsError, OverloadedError)

public = service_router(tags=["users"], dependencies=[Depends(not_stored)])
router = service_router(tags=["users"], dependencies=[Depends(current_caller), Depends(not_stored)])


def _answer(user: User, status: int = 200, **headers: str) -> Answer:
    body = UserRead.model_validate(user).model_dump_json(by_alias=True).encode()
    return Answer(status, {"cache-control": PRIVATE, "etag": user.etag, **headers}, body)


def _created(user: User) -> Answer:
    return _answer(user, 201, location=f"/v1/users/{user.id}")


def _shown(user: User, if_none_match: str | None = None) -> Response:
    answer = _answer(user)
    if is_current(if_none_match, user.etag):
        return Response(status_code=304, headers=dict(answer.headers))
    return answer.to_response()


@public.post(
    "/v1/users",
    status_code=201,
    response_model=UserRead,
    summary="Register",
    responses={
        201: _CREATED,
        **problem_responses(
            *ALWAYS, *WITH_BODY, EmailTakenError, IdempotencyKeyReusedError, IdempotencyInFlightError, *_THROTTLED
        ),
    },
)
async def create_user(
    body: UserCreate,
    request: Request,
    client: CurrentClient,
    resources: CurrentResources,
    _: IdempotencyKey = None,
) -> Response:
    idempotent = await idempotent_request(request, "anonymous", resources.idempotency_secret)
    registration = Registration(body.email, body.password, body.name)
    return (await resources.accounts.register(registration, client, idempotent, _created)).to_response()


@router.get("/v1/users", summary="List users (administrators)", responses=problem_responses(*PROTECTED, ForbiddenError))
async def list_users(  # noqa: PLR0913 - one per query parameter
    request: Request,
    response: Response,
    resources: CurrentResources,
    _: CurrentAdministrator,
    page: PageParams,
    ids: Annotated[list[Id] | None, Query(max_length=1000, description="Only these.")] = None,
    email: Annotated[str | None, Query(min_length=1, max_length=254, description="The whole address.")] = None,
    q: Annotated[
        str | None, Query(min_length=1, max_length=100, description="Matches name or e-mail address anywhere.")
    ] = None,
    role: Annotated[Role | None, Query(description="Only those with this role.")] = None,
    status: Annotated[Status | None, Query(description="Only those in this state.")] = None,
    sort: Annotated[UserSort, Query(description="`-` in front for descending.")] = UserSort.CREATED_AT,
) -> Page[UserRead]:
    found = await resources.accounts.list_users(UserFilter(ids, email, q, role, status), sort, page)
    add_page_headers(request, response, page, found.total)
    return Page[UserRead](
        data=[UserRead.model_validate(user) for user in found.items], pagination=describe_page(page, found.total)
    )


@router.get(
    "/v1/users/me",
    response_model=UserRead,
    summary="Read one's own account",
    responses={**_READ, **problem_responses(*PROTECTED)},
)
async def get_own_user(caller: CurrentCaller, if_none_match: IfNoneMatch = None) -> Response:
    return _shown(caller.user, if_none_match)


@router.patch(
    "/v1/users/me",
    response_model=UserRead,
    summary="Edit one's own account",
    responses={**_EDITED, **problem_responses(*_UPDATE, UserNotFoundError, *_THROTTLED)},
)
async def update_own_user(
    body: UserUpdate,
    caller: CurrentCaller,
    client: CurrentClient,
    resources: CurrentResources,
    if_match: IfMatch = None,
) -> Response:
    return _shown(await resources.accounts.update(caller, caller.user.id, body.to_change(if_match), client))


@router.delete(
    "/v1/users/me",
    status_code=204,
    summary="Erase oneself",
    # Not found: of several erasures at once one is first.
    responses=problem_responses(
        *PROTECTED, ReauthenticationRequiredError, UserNotFoundError, LastAdminError, PreconditionFailedError
    ),
)
async def delete_own_user(
    caller: CurrentCaller, client: CurrentClient, resources: CurrentResources, if_match: IfMatch = None
) -> None:
    await resources.accounts.delete(caller, caller.user.id, client, if_match)


@router.get("/v1/users/me/export", summary="Download one's data", responses=problem_responses(*PROTECTED))
async def export_own_user(
    response: Response, caller: CurrentCaller, client: CurrentClient, resources: CurrentResources
) -> UserExport:
    response.headers["Content-Disposition"] = f'attachment; filename="user-{caller.user.id}.json"'
    return UserExport.model_validate(await resources.accounts.export(caller, client))


@router.put(
    "/v1/users/me/password",
    status_code=204,
    summary="Change one's password",
    responses=problem_responses(*PROTECTED, *WITH_BODY, InvalidCurrentPasswordError, *_THROTTLED),
)
async def change_password(
    body: PasswordChange, caller: CurrentCaller, client: CurrentClient, resources: CurrentResources
) -> None:
    await resources.passwords.change(caller, body.current_password, body.new_password, client)


@router.get(
    "/v1/users/{id}",
    response_model=UserRead,
    summary="Read a user (self or administrators)",
    responses={**_READ, **problem_responses(*PROTECTED, ForbiddenError, UserNotFoundError)},
)
async def get_user(
    user_id: PathId,
    caller: CurrentCaller,
    client: CurrentClient,
    resources: CurrentResources,
    if_none_match: IfNoneMatch = None,
) -> Response:
    return _shown(await resources.accounts.get(caller, user_id, client), if_none_match)


@router.patch(
    "/v1/users/{id}",
    dependencies=[Depends(may_edit)],
    response_model=UserRead,
    summary="Edit a user (self or administrators)",
    responses={**_EDITED, **problem_responses(*_UPDATE, UserNotFoundError, *_THROTTLED)},
)
async def update_user(  # noqa: PLR0913 - FastAPI injects each
    user_id: PathId,
    body: UserUpdate,
    caller: CurrentCaller,
    client: CurrentClient,
    resources: CurrentResources,
    if_match: IfMatch = None,
) -> Response:
    return _shown(await resources.accounts.update(caller, user_id, body.to_change(if_match), client))


@router.delete(
    "/v1/users/{id}",
    status_code=204,
    summary="Erase a user (self or administrators)",
    responses=problem_responses(
        *PROTECTED,
        ForbiddenError,
        ReauthenticationRequiredError,
        UserNotFoundError,
        LastAdminError,
        PreconditionFailedError,
    ),
)
async def delete_user(
    user_id: PathId,
    caller: CurrentCaller,
    client: CurrentClient,
    resources: CurrentResources,
    if_match: IfMatch = None,
) -> None:
    await resources.accounts.delete(caller, user_id, client, if_match)
