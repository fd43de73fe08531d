"""RFC 9457 problem documents: the one shape of every error answer, and the one table from kind to status.

Apart from `chassis.problems`, and without pydantic: the gateway writes problem documents and has no other use for it.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from chassis.errors import Kind, ServiceError

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[Kind, int] = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD_NOT_ALLOWED: 405,
    Kind.REQUEST_TIMEOUT: 408,
    Kind.CONFLICT: 409,
    Kind.PRECONDITION_FAILED: 412,
    Kind.TOO_LARGE: 413,
    Kind.URI_TOO_LONG: 414,
    Kind.UNSUPPORTED_MEDIA_TYPE: 415,
    Kind.INVALID: 422,
    Kind.PRECONDITION_REQUIRED: 428,
    Kind.THROTTLED: 429,
    Kind.HEADERS_TOO_LARGE: 431,
    Kind.INTERNAL: 500,
    Kind.BAD_UPSTREAM: 502,
    Kind.UNAVAILABLE: 503,
    Kind.TIMEOUT: 504,
}


def problem_body(error: ServiceError, instance: str, request_id: str | None) -> bytes:
    """The JSON text of `error`; `instance` is the path that was asked for, without its query."""
    document: dict[str, Any] = {
        "type": f"/docs/problems#{error.code}",
        "title": error.title,
        "status": STATUS[error.kind],
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "requestId": request_id,
    }
    if error.errors or error.kind is Kind.INVALID:
        document["errors"] = [{"pointer": e.pointer, "message": e.message} for e in error.errors]
    return orjson.dumps(document)


def problem_headers(error: ServiceError) -> dict[str, str]:
    """The headers that an answer for `error` carries besides its length."""
    headers = {"content-type": MEDIA_TYPE, "cache-control": "no-store", **error.headers}
    if error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def problem_examples(*errors: type[ServiceError]) -> dict[int, dict[str, Any]]:
    """By status, description and content of OpenAPI's response object: every problem as an example under its code."""
    found: dict[int, dict[str, Any]] = {}
    for error in errors:
        entry = found.setdefault(STATUS[error.kind], {"description": "", "content": {MEDIA_TYPE: {"examples": {}}}})
        entry["description"] = " · ".join(filter(None, [entry["description"], error.title]))
        entry["content"][MEDIA_TYPE]["examples"][error.code] = {
            "summary": error.title,
            "value": {
                "type": f"/docs/problems#{error.code}",
                "title": error.title,
                "status": STATUS[error.kind],
                "detail": error.default_detail,
                "instance": "/v1/…",
                "code": error.code,
                "requestId": "0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11",
            }
            | ({"errors": []} if error.kind is Kind.INVALID else {}),
        }
    return found
