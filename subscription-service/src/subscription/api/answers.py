"""Answers with entity tags: what may be kept by the client that asked, after asking again."""

from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import BaseModel

from chassis.conditional import content_etag, is_current
from chassis.errors import (
    ForbiddenError,
    IdempotencyInFlightError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    MalformedJsonError,
    MalformedRequestError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedMediaTypeError,
)
from chassis.idempotency import Answer
from chassis.pagination import Page, PageRequest, describe_page, page_headers
from chassis.problems import problem_responses
from chassis.tokens import InvalidTokenError

Shown = TypeVar("Shown", bound=BaseModel)
CACHE_CONTROL = "private, no-cache"
_ETAG_HEADER = {"ETag": {"schema": {"type": "string"}, "description": "Strong entity tag of this representation"}}

ALWAYS = (UnauthenticatedError, InvalidTokenError, MalformedRequestError, InvalidRequestError, UnavailableError)
WITH_BODY = (MalformedJsonError, UnsupportedMediaTypeError)
IDEMPOTENT = (IdempotencyInFlightError, IdempotencyKeyReusedError)
ADMIN_ONLY = (ForbiddenError,)


def reading(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a GET: the entity tag, 304, and the problems besides those of every route."""
    return {
        200: {"headers": _ETAG_HEADER},
        304: {"description": "Not modified: `If-None-Match` names the current entity tag"},
        **problem_responses(*ALWAYS, *errors),
    }


def changing(*errors: type[ServiceError], status: int = 204) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a change that answers with `status`: the problems besides those of every route."""
    responses = problem_responses(*ALWAYS, *errors)
    return responses if status == 204 else {status: {"headers": _ETAG_HEADER}, **responses}


def body_of(model: BaseModel) -> bytes:
    """The JSON text of `model`, every member present."""
    return model.model_dump_json(by_alias=True).encode()


def answer(model: BaseModel, *, status: int = 200, etag: str | None = None, location: str | None = None) -> Answer:
    """An answer that shows `model`; without `etag` the tag is that of the very bytes."""
    body = body_of(model)
    headers = {"Cache-Control": CACHE_CONTROL, "ETag": etag or content_etag(body)}
    if location is not None:
        headers["Location"] = location
    return Answer(status, headers, body)


def shown(request: Request, model: BaseModel, *, etag: str | None = None) -> Response:
    """The answer to a GET: 304 when the client has it already."""
    return _unless_current(request, answer(model, etag=etag))


def page_shown(request: Request, items: list[Shown], total: int, page: PageRequest) -> Response:
    """The answer to a GET of a list."""
    model = Page[Any](data=items, pagination=describe_page(page, total))
    links = page_headers(request.url.path, request.scope["query_string"], page, total)
    body = body_of(model)
    # The total is part of what is shown, though in a header.
    headers = {"Cache-Control": CACHE_CONTROL, "ETag": content_etag(body + str(total).encode()), **links}
    return _unless_current(request, Answer(200, headers, body))


def _unless_current(request: Request, found: Answer) -> Response:
    if is_current(request.headers.get("if-none-match"), found.headers["ETag"]):
        return Response(status_code=304, headers=dict(found.headers))
    return found.to_response()


def nothing_to_show() -> Response:
    """204."""
    return Response(status_code=204, headers={"Cache-Control": CACHE_CONTROL})
