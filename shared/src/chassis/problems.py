"""Problem documents as answers of a FastAPI application, and how its documentation shows them."""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from chassis import context
from chassis.errors import (
    FieldError,
    InvalidRequestError,
    MalformedRequestError,
    MethodNotAllowedError,
    NotFoundError,
    ServiceError,
)
from chassis.problem_documents import STATUS, problem_body, problem_examples, problem_headers
from chassis.security_events import SecurityEvents

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger(__name__)


class RefusedInput(BaseModel):
    """One refused input."""

    pointer: str = Field(examples=["/name"])
    message: str = Field(examples=["must have at least 1 character"])


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "detail", "code"]})

    type: str = Field(examples=["/docs/problems#not-found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is nothing at this address."])
    instance: str = Field(examples=["/v1/nothing"])
    code: str = Field(examples=["not-found"])
    requestId: str | None = Field(examples=["0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"])  # noqa: N815 - name on the wire
    errors: list[RefusedInput] | None = None


def problem_response(error: ServiceError, request: Request) -> Response:
    """`error` as an answer to `request`."""
    # raw_path, because the decoded path may hold characters that no header or log should.
    instance = request.scope.get("raw_path", b"").split(b"?")[0].decode("latin-1") or request.scope["path"]
    return Response(
        problem_body(error, instance, context.request_id.get()), STATUS[error.kind], headers=problem_headers(error)
    )


def problem_responses(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: every problem it can answer, with its code as an example."""
    return {status: {"model": Problem, **entry} for status, entry in problem_examples(*errors).items()}


def _pointer(location: Sequence[Any]) -> str:
    source, *rest = location or ("",)
    if source == "body":
        return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in rest)
    return ".".join(str(part) for part in rest if not isinstance(part, int)) or str(source)


# What pydantic says of these is about its own notions, not about the body.
_MESSAGES: Mapping[str, str] = {"extra_forbidden": "is not a member of this body", "missing": "is missing"}


def _message(error: Mapping[str, Any]) -> str:
    if text := _MESSAGES.get(error.get("type", "")):
        return text
    # Only our sentence and never `input` or `ctx`: pydantic's rendering would echo passwords back.
    text = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
    if error.get("type") in ("model_attributes_type", "dict_type"):
        return "must be a JSON object"
    # To those who sent it a text has characters and no items, and what it was after our validation says nothing.
    text = re.sub(r"^\w+ should ", "must ", re.sub(r" after validation, not \d+$", "", text))
    if isinstance(error.get("input"), str) and error.get("type") in ("too_long", "too_short"):
        text = text.replace(" item", " character")
    return text[:1].lower() + text[1:]


class _Handlers:
    """Turn what a route raised into an answer, and record what was refused."""

    def __init__(self, events: SecurityEvents) -> None:
        self._events = events

    def _answer(self, error: ServiceError, request: Request) -> Response:
        self._events.record(error, request)
        request.scope["problem"] = error
        return problem_response(error, request)

    async def validation(self, request: Request, error: Exception) -> Response:
        from fastapi.exceptions import RequestValidationError  # noqa: PLC0415 - see below

        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
        refused = {FieldError(_pointer(e["loc"]), _message(e)): None for e in error.errors()}
        return self._answer(InvalidRequestError(errors=list(refused)), request)

    async def service_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ServiceError)  # noqa: S101 - registered for this class alone
        return self._answer(error, request)

    async def http_exception(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
        known: dict[int, type[ServiceError]] = {
            404: NotFoundError,
            405: MethodNotAllowedError,
        }
        if error.status_code >= 500:
            return self._answer(ServiceError(), request)
        return self._answer(known.get(error.status_code, MalformedRequestError)(headers=error.headers), request)


def install_problem_handlers(app: "FastAPI") -> None:
    """Make every error answer of `app` a problem document, and every refusal a security event."""
    # FastAPI costs memory, and the gateway, which writes problem documents itself, has no use for it.
    from fastapi.exceptions import RequestValidationError  # noqa: PLC0415

    handlers = _Handlers(SecurityEvents())
    app.add_exception_handler(RequestValidationError, handlers.validation)
    app.add_exception_handler(ServiceError, handlers.service_error)
    app.add_exception_handler(HTTPException, handlers.http_exception)
