"""FastAPI dependencies that say who is asking."""

import hmac
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from chassis.errors import ForbiddenError, MalformedRequestError, UnauthenticatedError
from chassis.tokens import AccessTokenVerifier, Principal

# Documents the scheme in OpenAPI; the header is read below, because this class answers in its own shape.
_scheme = HTTPBearer(auto_error=False, scheme_name="accessToken", bearerFormat="JWT")


def bearer_token(request: Request) -> str:
    """The token of the Authorization header. Raises `UnauthenticatedError` when there is none."""
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise MalformedRequestError("Send one Authorization header only.")
    scheme, _, token = (values[0] if values else "").partition(" ")
    if scheme.lower() != "bearer" or not token or token != token.strip():
        raise UnauthenticatedError
    return token


async def authenticated(request: Request, _: Annotated[object, Depends(_scheme)]) -> Principal:
    """The verified caller, whose id the security events of this request will name."""
    verifier: AccessTokenVerifier = request.state.verifier
    principal = await verifier.verify(bearer_token(request))
    request.state.user_id = principal.user_id
    return principal


CurrentPrincipal = Annotated[Principal, Depends(authenticated)]


async def administrator(principal: CurrentPrincipal) -> Principal:
    """The verified caller, who must be an administrator."""
    if not principal.is_admin:
        raise ForbiddenError
    return principal


CurrentAdmin = Annotated[Principal, Depends(administrator)]


async def internal_caller(request: Request) -> None:
    """Lets only other services of the suite pass: the shared secret in `request.state.internal_token`."""
    expected: str = request.state.internal_token
    if not hmac.compare_digest(bearer_token(request).encode(), expected.encode()):
        raise UnauthenticatedError
