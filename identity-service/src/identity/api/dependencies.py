"""What the routes share: who is asking, from where, and with which resources."""

from typing import Annotated

from fastapi import Depends, Path, Request, Response

from chassis.auth import CurrentPrincipal
from chassis.errors import (
    ForbiddenError,
    InvalidRequestError,
    MalformedRequestError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)
from chassis.fields import Id
from chassis.tokens import InvalidTokenError
from identity.domain.audit import Action
from identity.domain.sessions import Caller, Client
from identity.factory import Resources

PRIVATE = "private, no-store"
_MAX_USER_AGENT = 255
PathId = Annotated[Id, Path(alias="id", description="Which one.")]

# Problems of every route, of those that need a token, and of those that take a body.
ALWAYS: tuple[type[ServiceError], ...] = (InvalidRequestError, MalformedRequestError, UnavailableError)
PROTECTED: tuple[type[ServiceError], ...] = (*ALWAYS, UnauthenticatedError, InvalidTokenError)
WITH_BODY: tuple[type[ServiceError], ...] = (UnsupportedMediaTypeError,)


def resources(request: Request) -> Resources:
    """The resources of this process (FastAPI dependency)."""
    found: Resources = request.state.resources
    return found


async def current_caller(request: Request, principal: CurrentPrincipal) -> Caller:
    """The user and session behind the token, which both have to be alive now."""
    return await resources(request).sessions.authenticate(principal)


def client_of(request: Request) -> Client:
    """Where the request comes from; the server has resolved the addresses that trusted proxies forward."""
    ip = request.client.host if request.client else "0.0.0.0"  # noqa: S104 - "unknown", nothing is bound to it
    user_agent = request.headers.get("user-agent")
    return Client(ip[:45] if ip.isascii() else "0.0.0.0", user_agent[:_MAX_USER_AGENT] if user_agent else None)  # noqa: S104


async def current_administrator(request: Request, caller: Annotated[Caller, Depends(current_caller)]) -> Caller:
    """The caller, who must be an administrator now, whatever the token says."""
    if not caller.user.is_admin:
        error = ForbiddenError()
        await resources(request).audit_log.refused(caller, None, Action.USER_LIST, client_of(request), error)
        raise error
    return caller


async def may_edit(request: Request, caller: Annotated[Caller, Depends(current_caller)], user_id: PathId) -> None:
    """Refuse who may not edit this account before anything is said about what was sent (FastAPI dependency)."""
    if user_id != caller.user.id and not caller.user.is_admin:
        error = ForbiddenError()
        await resources(request).audit_log.refused(caller, user_id, Action.USER_UPDATE, client_of(request), error)
        raise error


def not_stored(response: Response) -> None:
    """Keep the answer out of every cache (FastAPI dependency)."""
    response.headers["Cache-Control"] = PRIVATE


CurrentResources = Annotated[Resources, Depends(resources)]
CurrentCaller = Annotated[Caller, Depends(current_caller)]
CurrentAdministrator = Annotated[Caller, Depends(current_administrator)]
CurrentClient = Annotated[Client, Depends(client_of)]
