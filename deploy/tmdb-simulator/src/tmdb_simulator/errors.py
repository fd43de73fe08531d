"""TMDB's error bodies (developer.themoviedb.org/docs/errors)."""

from __future__ import annotations

from typing import Any, NamedTuple


class ErrorKind(NamedTuple):
    """One row of TMDB's table: its own code, the HTTP status it travels with, the text."""

    code: int
    status: int
    message: str

    def body(self) -> dict[str, Any]:
        """The JSON body TMDB sends."""
        return {"success": False, "status_code": self.code, "status_message": self.message}


INVALID_KEY = ErrorKind(7, 401, "Invalid API key: You must be granted a valid key.")
NOT_FOUND = ErrorKind(34, 404, "The resource you requested could not be found.")
INVALID_PAGE = ErrorKind(
    22,
    400,
    "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer.",
)
INVALID_DATE = ErrorKind(23, 400, "Invalid date: Format needs to be YYYY-MM-DD.")
INVALID_DATE_RANGE = ErrorKind(20, 422, "Invalid date range: Should be a range no longer than 14 days.")
METHOD_NOT_SUPPORTED = ErrorKind(42, 405, "This request method is not supported for this resource.")
OVER_LIMIT = ErrorKind(25, 429, "Your request count (41) is over the allowed limit of (40).")
INTERNAL = ErrorKind(11, 500, "Internal error: Something went wrong, contact TMDB.")
BACKEND_UNREACHABLE = ErrorKind(43, 502, "Couldn't connect to the backend server.")
OFFLINE = ErrorKind(9, 503, "Service offline: This service is temporarily offline, try again later.")
BACKEND_TIMEOUT = ErrorKind(24, 504, "Your request to the backend server timed out. Try again.")

BY_STATUS = {
    kind.status: kind
    for kind in (
        INVALID_KEY,
        NOT_FOUND,
        OVER_LIMIT,
        INTERNAL,
        BACKEND_UNREACHABLE,
        OFFLINE,
        BACKEND_TIMEOUT,
    )
}


class TmdbError(Exception):
    """Ends a request with one of TMDB's errors."""

    def __init__(self, kind: ErrorKind) -> None:
        super().__init__(kind.message)
        self.kind = kind
