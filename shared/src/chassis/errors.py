"""Errors that a client is meant to see: a stable code, a kind, and a sentence saying what to do next.

Services raise subclasses of `ServiceError`; only `chassis.problem_documents` knows HTTP status codes, so that a
consumer or a job can raise and catch the same errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar


class Kind(Enum):
    """What sort of failure it is; `chassis.problem_documents.STATUS` maps each to an HTTP status."""

    MALFORMED = auto()
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    NOT_FOUND = auto()
    METHOD_NOT_ALLOWED = auto()
    REQUEST_TIMEOUT = auto()
    CONFLICT = auto()
    PRECONDITION_FAILED = auto()
    TOO_LARGE = auto()
    URI_TOO_LONG = auto()
    HEADERS_TOO_LARGE = auto()
    UNSUPPORTED_MEDIA_TYPE = auto()
    INVALID = auto()
    PRECONDITION_REQUIRED = auto()
    THROTTLED = auto()
    INTERNAL = auto()
    BAD_UPSTREAM = auto()
    UNAVAILABLE = auto()
    TIMEOUT = auto()


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused input: `pointer` is a JSON pointer into the body or the name of a query parameter or header."""

    pointer: str
    message: str


class ServiceError(Exception):
    """Base of all errors that become a problem document.

    Class attributes are the defaults of a subclass; an instance may carry its own `detail`, the refused
    `errors` and extra response `headers` (such as `Retry-After`). Nothing secret may go into any of them.
    """

    code: ClassVar[str] = "internal-error"
    kind: ClassVar[Kind] = Kind.INTERNAL
    title: ClassVar[str] = "Internal error"
    default_detail: ClassVar[str] = "Something went wrong on our side. Try again; the request id helps us to find it."

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or self.default_detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class MalformedRequestError(ServiceError):
    code = "malformed-request"
    kind = Kind.MALFORMED
    title = "Malformed request"
    default_detail = (
        "The request could not be read. Check its path, headers and query against the documentation at /docs."
    )


class MalformedJsonError(MalformedRequestError):
    code = "malformed-json"
    title = "Malformed JSON"
    default_detail = "The body is not valid JSON. Send a UTF-8 JSON object."


class UnsupportedMediaTypeError(ServiceError):
    code = "unsupported-media-type"
    kind = Kind.UNSUPPORTED_MEDIA_TYPE
    title = "Unsupported media type"
    default_detail = "Send the body as application/json."


class BodyTooLargeError(ServiceError):
    code = "body-too-large"
    kind = Kind.TOO_LARGE
    title = "Body too large"
    default_detail = "The body is larger than this API accepts. Send less at once."


class InvalidRequestError(ServiceError):
    code = "invalid-request"
    kind = Kind.INVALID
    title = "Invalid request"
    default_detail = (
        "Some of the input was refused; 'errors' says which and why. Correct it and send the request again."
    )


class UnauthenticatedError(ServiceError):
    code = "unauthenticated"
    kind = Kind.UNAUTHENTICATED
    title = "Not authenticated"
    default_detail = "Send a valid access token as 'Authorization: Bearer <token>'. Log in or refresh to get one."


class ForbiddenError(ServiceError):
    code = "forbidden"
    kind = Kind.FORBIDDEN
    title = "Forbidden"
    default_detail = "Your account is not allowed to do this. Ask an administrator, or log in with an account that is."


class NotFoundError(ServiceError):
    code = "not-found"
    kind = Kind.NOT_FOUND
    title = "Not found"
    default_detail = "There is nothing at this address. Check it against those that /docs lists."


class MethodNotAllowedError(ServiceError):
    code = "method-not-allowed"
    kind = Kind.METHOD_NOT_ALLOWED
    title = "Method not allowed"
    default_detail = "This resource does not support that method. Use one of those that 'Allow' lists."


class PreconditionFailedError(ServiceError):
    code = "precondition-failed"
    kind = Kind.PRECONDITION_FAILED
    title = "Precondition failed"
    default_detail = "The resource has changed since you read it. Read it again and repeat with the new ETag."


class PreconditionRequiredError(ServiceError):
    code = "precondition-required"
    kind = Kind.PRECONDITION_REQUIRED
    title = "Precondition required"
    default_detail = "Send 'If-Match' with the ETag you got when you read the resource."


class IdempotencyKeyReusedError(ServiceError):
    code = "idempotency-key-reused"
    kind = Kind.INVALID
    title = "Idempotency key reused"
    default_detail = "This Idempotency-Key was used for a different request. Use a new key."


class IdempotencyInFlightError(ServiceError):
    code = "idempotency-in-flight"
    kind = Kind.CONFLICT
    title = "Request in flight"
    default_detail = "A request with this Idempotency-Key is still being processed. Repeat it in a moment."


class UnavailableError(ServiceError):
    """Something this service needs does not answer. `retry_after` is in seconds."""

    code = "service-unavailable"
    kind = Kind.UNAVAILABLE
    title = "Service unavailable"
    default_detail = "A part of the service does not answer at the moment. Try again shortly."

    def __init__(self, detail: str | None = None, *, retry_after: int = 2) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})
