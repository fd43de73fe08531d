"""Logging in and out, refreshing, sessions, and recovery of a lost password."""

from fastapi import Depends, Request, Response

from chassis.app import service_router
from chassis.pagination import Page, PageParams, add_page_headers, describe_page
from chassis.problems import problem_responses
from identity.api.dependencies import (
    ALWAYS,
    PROTECTED,
    WITH_BODY,
    CurrentCaller,
    CurrentClient,
    CurrentResources,
    PathId,
    current_caller,
    not_stored,
)
from identity.api.schemas.sessions import (
    Login,
    PasswordForgot,
    PasswordForgotAccepted,
    PasswordReset,
    Refresh,
    SessionRead,
    TokenPairRead,
)
from identity.domain.errors import (
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    InvalidResetTokenError,
    OverloadedError,
    RefreshConflictError,
    SessionNotFoundError,
    TooManyRequestsError,
)

_FORGOT_MESSAGE = "If there is an account for this address, a mail with a link is on its way."

public = service_router(tags=["sessions"], dependencies=[Depends(not_stored)])
router = service_router(tags=["sessions"], dependencies=[Depends(current_caller), Depends(not_stored)])


@public.post(
    "/v1/auth/login",
    summary="Log in",
    responses=problem_responses(*ALWAYS, *WITH_BODY, InvalidCredentialsError, TooManyRequestsError, OverloadedError),
)
async def login(body: Login, client: CurrentClient, resources: CurrentResources) -> TokenPairRead:
    return TokenPairRead.model_validate(await resources.authentication.log_in(body.email, body.password, client))


@public.post(
    "/v1/auth/refresh",
    summary="Exchange a refresh token for a new pair",
    description=(
        "A refresh token works once. Let one request at a time refresh: a token presented again within two seconds "
        "answers 409, later it ends the session."
    ),
    responses=problem_responses(
        *ALWAYS, *WITH_BODY, InvalidRefreshTokenError, RefreshConflictError, TooManyRequestsError
    ),
)
async def refresh_tokens(body: Refresh, client: CurrentClient, resources: CurrentResources) -> TokenPairRead:
    return TokenPairRead.model_validate(await resources.sessions.refresh(body.refresh_token, client))


@router.post("/v1/auth/logout", status_code=204, summary="Log out", responses=problem_responses(*PROTECTED))
async def logout(caller: CurrentCaller, client: CurrentClient, resources: CurrentResources) -> None:
    await resources.sessions.log_out(caller, client)


@router.get("/v1/auth/sessions", summary="List one's sessions, newest first", responses=problem_responses(*PROTECTED))
async def list_sessions(
    request: Request, response: Response, caller: CurrentCaller, resources: CurrentResources, page: PageParams
) -> Page[SessionRead]:
    found = await resources.sessions.list_own(caller, page)
    add_page_headers(request, response, page, found.total)
    shown = [SessionRead.of(session, current=session.id == caller.session.id) for session in found.items]
    return Page[SessionRead](data=shown, pagination=describe_page(page, found.total))


@router.delete(
    "/v1/auth/sessions",
    status_code=204,
    summary="End all of one's sessions, this one as well",
    responses=problem_responses(*PROTECTED),
)
async def end_sessions(caller: CurrentCaller, client: CurrentClient, resources: CurrentResources) -> None:
    await resources.sessions.end_all(caller, client)


@router.delete(
    "/v1/auth/sessions/{id}",
    status_code=204,
    summary="End one of one's sessions",
    responses=problem_responses(*PROTECTED, SessionNotFoundError),
)
async def end_session(
    session_id: PathId, caller: CurrentCaller, client: CurrentClient, resources: CurrentResources
) -> None:
    await resources.sessions.end(caller, session_id, client)


@public.post(
    "/v1/auth/password/forgot",
    status_code=202,
    summary="Ask for a mail with a link to set a new password",
    responses=problem_responses(*ALWAYS, *WITH_BODY, TooManyRequestsError),
)
async def forgot_password(
    body: PasswordForgot, client: CurrentClient, resources: CurrentResources
) -> PasswordForgotAccepted:
    await resources.passwords.forgot(body.email, client)
    return PasswordForgotAccepted(message=_FORGOT_MESSAGE)


@public.post(
    "/v1/auth/password/reset",
    status_code=204,
    summary="Set a new password with the token from a mail",
    responses=problem_responses(*ALWAYS, *WITH_BODY, InvalidResetTokenError, TooManyRequestsError, OverloadedError),
)
async def reset_password(body: PasswordReset, client: CurrentClient, resources: CurrentResources) -> None:
    await resources.passwords.reset(body.token, body.new_password, client)
