"""Routes that refuse what they do not understand, so that a typo never widens a list or loses a member.

FastAPI by itself ignores unknown query parameters and takes the last of repeated ones, as json.loads does
with repeated members; it also reads a body before it looks at its media type.
"""

import difflib
import functools
from collections.abc import Callable, Coroutine, Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import parse_qsl, urlencode

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from chassis.errors import (
    BodyTooLargeError,
    FieldError,
    InvalidRequestError,
    MalformedJsonError,
    MalformedRequestError,
    UnsupportedMediaTypeError,
)
from chassis.strict_json import parse_json

MAX_BODY_BYTES = 1024 * 1024


def _is_json(content_type: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.removeprefix("charset=").strip('"') for p in parameters if p.startswith("charset=")]
    return media_type == "application/json" and all(charset in ("utf-8", "utf8") for charset in charsets)


class _ParsedRequest(Request):
    """A request whose body has been read and parsed already."""

    def __init__(self, request: Request, body: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._body = body
        self._json = value


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_list(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return any(_is_list(option) for option in get_args(annotation) if option is not NoneType)
    return (origin or annotation) in (list, set, frozenset, tuple)


def _query_parameters(dependant: Dependant) -> dict[str, bool]:
    """Name of each query parameter of a route and its dependencies, and whether it takes several values."""
    found = {field.alias: _is_list(field.field_info.annotation) for field in dependant.query_params}
    for dependency in dependant.dependencies:
        found.update(_query_parameters(dependency))
    return found


def _parameter_names(dependant: Dependant) -> Iterator[str]:
    for field in (*dependant.path_params, *dependant.query_params, *dependant.header_params):
        yield field.alias
    for dependency in dependant.dependencies:
        yield from _parameter_names(dependency)


def _member_names(schema: Any) -> Iterator[str]:
    """The names of all properties in a JSON schema and the definitions that it holds."""
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _member_names(part)


def _unknown(name: str, known: dict[str, bool]) -> FieldError:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if nearest:
        return FieldError(name, f"is not a parameter of this resource; did you mean '{nearest[0]}'?")
    listed = ", ".join(sorted(known)) or "none"
    return FieldError(name, f"is not a parameter of this resource; it takes: {listed}")


def check_query(raw: bytes, known: dict[str, bool]) -> bytes:
    """The query with comma-separated lists spread out into repeated parameters.

    Raises `InvalidRequestError` for unknown parameters and for single-valued ones given twice, and
    `MalformedRequestError` for bytes that are not percent-encoded UTF-8.
    """
    if not raw:
        return raw
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise MalformedRequestError("The query is not percent-encoded UTF-8. Send it so encoded.") from error
    refused: dict[FieldError, None] = {}
    spread: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in pairs:
        if name not in known:
            refused[_unknown(name, known)] = None
        elif known[name]:
            spread.extend((name, part.strip()) for part in value.split(","))
        elif name in seen:
            refused[FieldError(name, "must be given once")] = None
        else:
            spread.append((name, value))
        if "\0" in value:
            refused[FieldError(name, "must not contain NUL")] = None
        seen.add(name)
    if refused:
        raise InvalidRequestError(errors=list(refused))
    return urlencode(spread).encode()


async def read_body(request: Request) -> bytes:
    """The whole body. Raises `BodyTooLargeError` as soon as it is known to exceed `MAX_BODY_BYTES`."""
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise BodyTooLargeError
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError
    return bytes(body)


class StrictRoute(APIRoute):
    """An `APIRoute` that checks the query and the body as the API's conventions ask."""

    @functools.cached_property
    def input_names(self) -> frozenset[str]:
        """Every name that this route gives to a parameter or to a member of its body, at any depth."""
        body: Any = self.body_field.field_info.annotation if self.body_field else None
        schema = TypeAdapter(body).json_schema()
        return frozenset(_parameter_names(self.dependant)) | frozenset(_member_names(schema))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_parameters(self.dependant)
        takes_body = self.body_field is not None
        body_required = takes_body and self.body_field is not None and self.body_field.field_info.is_required()

        async def handle_strictly(request: Request) -> Response:
            scope = dict(request.scope)
            scope["query_string"] = check_query(request.scope["query_string"], known)
            request = Request(scope, request.receive)
            if takes_body:
                body = await read_body(request)
                if body and not _is_json(request.headers.get("content-type", "")):
                    raise UnsupportedMediaTypeError
                if body_required and not body:
                    raise MalformedJsonError("The body is missing. Send a JSON object as application/json.")
                request = _ParsedRequest(request, body, parse_json(body) if body else None)
            return await handle(request)

        return handle_strictly
