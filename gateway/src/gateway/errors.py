"""The refusals that only an edge gives."""

from chassis.errors import Kind, ServiceError


class RequestTimeoutError(ServiceError):
    code = "request-timeout"
    kind = Kind.REQUEST_TIMEOUT
    title = "Request timeout"
    default_detail = "The request did not arrive completely in time. Send it again."


class UriTooLongError(ServiceError):
    code = "uri-too-long"
    kind = Kind.URI_TOO_LONG
    title = "Address too long"
    default_detail = "The path and query are longer than this API accepts. Ask for fewer things at once."


class HeadersTooLargeError(ServiceError):
    code = "headers-too-large"
    kind = Kind.HEADERS_TOO_LARGE
    title = "Headers too large"
    default_detail = "The request's headers are larger or more than this API accepts. Send fewer or shorter ones."


class RateLimitedError(ServiceError):
    code = "rate-limited"
    kind = Kind.THROTTLED
    title = "Too many requests"
    default_detail = "You have sent too many requests. Go on after as many seconds as 'Retry-After' says."


class BadGatewayError(ServiceError):
    """The upstream broke off or answered with something that is no HTTP: the outcome is unknown."""

    code = "bad-gateway"
    kind = Kind.BAD_UPSTREAM
    title = "Bad gateway"
    default_detail = (
        "The service behind this address broke off. Whether the request was carried out is not known: look "
        "before you repeat it, or repeat it with the same Idempotency-Key."
    )


class _RetryLaterError(ServiceError):
    """The request was not carried out and may be repeated after `retry_after` seconds."""

    kind = Kind.UNAVAILABLE

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class UpstreamUnavailableError(_RetryLaterError):
    code = "upstream-unavailable"
    title = "Service unavailable"
    default_detail = (
        "The service behind this address cannot be reached at the moment. Nothing was changed; try again as "
        "'Retry-After' says."
    )


class UpstreamBusyError(_RetryLaterError):
    code = "upstream-busy"
    title = "Service busy"
    default_detail = (
        "The service behind this address has as much to do as it can take. Nothing was changed; try again as "
        "'Retry-After' says."
    )


class StartingError(_RetryLaterError):
    """Keys or the list of ended sessions are not known yet: nobody can be let in."""

    code = "gateway-starting"
    title = "Starting"
    default_detail = "The gateway has just started and cannot check access tokens yet. Try again as 'Retry-After' says."


class GatewayTimeoutError(ServiceError):
    code = "gateway-timeout"
    kind = Kind.TIMEOUT
    title = "Gateway timeout"
    default_detail = (
        "The service behind this address took too long. Whether the request was carried out is not known: "
        "look before you repeat it, or repeat it with the same Idempotency-Key."
    )


class DocumentationUnavailableError(_RetryLaterError):
    code = "documentation-unavailable"
    title = "Documentation unavailable"
    default_detail = "The services have not published their documents yet. Try again shortly."
