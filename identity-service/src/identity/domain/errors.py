"""What can go wrong here, as clients see it."""

from chassis.errors import (
    FieldError,
    ForbiddenError,
    InvalidRequestError,
    Kind,
    NotFoundError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)


class EmailTakenError(ServiceError):
    code = "email-taken"
    kind = Kind.CONFLICT
    title = "E-mail address taken"
    default_detail = "There is an account with this e-mail address. Log in, or ask for a new password."


class InvalidCredentialsError(UnauthenticatedError):
    """Unknown address, wrong password and disabled account alike, so that none of them can be told apart."""

    code = "invalid-credentials"
    title = "Invalid credentials"
    default_detail = "E-mail address or password is wrong. Check both, or ask for a new password."


class InvalidRefreshTokenError(UnauthenticatedError):
    code = "invalid-refresh-token"
    title = "Invalid refresh token"
    default_detail = "The refresh token is not valid any more. Log in again."


class RefreshConflictError(ServiceError):
    code = "refresh-conflict"
    kind = Kind.CONFLICT
    title = "Refresh token just used"
    default_detail = (
        "This refresh token has been used a moment ago. Use the pair that the other request was given; "
        "let only one request refresh at a time."
    )


class InvalidResetTokenError(ServiceError):
    code = "invalid-reset-token"
    kind = Kind.MALFORMED
    title = "Invalid reset token"
    default_detail = "The link is wrong, spent or expired. Ask for a new one."


class InvalidCurrentPasswordError(ForbiddenError):
    code = "invalid-current-password"
    title = "Wrong current password"
    default_detail = (
        "The current password is wrong. Check it, or ask for a new password at POST /v1/auth/password/forgot."
    )


class ReauthenticationRequiredError(ForbiddenError):
    code = "reauthentication-required"
    title = "Recent login required"
    default_detail = "Log in again and repeat this within five minutes."


class LastAdminError(ServiceError):
    code = "last-admin"
    kind = Kind.CONFLICT
    title = "Last administrator"
    default_detail = "This is the last active administrator. Make somebody else an administrator first."


class UserNotFoundError(NotFoundError):
    code = "user-not-found"
    title = "User not found"
    default_detail = "There is no user with this id. List the users to find the one you mean."


class SessionNotFoundError(NotFoundError):
    code = "session-not-found"
    title = "Session not found"
    default_detail = "You have no session with this id. List your sessions to see which there are."


class TooManyRequestsError(ServiceError):
    """A limit is reached. `retry_after` is in whole seconds, `limit` the number allowed in `window` seconds."""

    code = "too-many-requests"
    kind = Kind.THROTTLED
    title = "Too many requests"
    default_detail = "Too many attempts. Wait as long as 'Retry-After' says."

    def __init__(self, name: str = "default", *, limit: int = 1, window: int = 1, retry_after: int = 1) -> None:
        # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        headers = {
            "Retry-After": str(retry_after),
            "RateLimit-Policy": f'"{name}";q={limit};w={window}',
            "RateLimit": f'"{name}";r=0;t={retry_after}',
        }
        super().__init__(headers=headers)


class OverloadedError(UnavailableError):
    """More passwords wait to be hashed than can be dealt with in useful time."""

    code = "overloaded"
    title = "Overloaded"
    default_detail = "Too many logins at the moment. Try again as 'Retry-After' says."


def refused(pointer: str, message: str) -> InvalidRequestError:
    """An `InvalidRequestError` about one member of the body."""
    return InvalidRequestError(errors=[FieldError(pointer, message)])
