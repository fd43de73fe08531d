"""What handlers ask for, and how their answers are tagged."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from catalog.factory import Services
from chassis.conditional import content_etag, is_current

_PRIVATE = {"cache-control": "private, no-cache", "vary": "authorization"}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,9}(\.\d{1,9})?", re.ASCII)


def _services(request: Request) -> Services:
    services: Services = request.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]


def _parse_date(value: Any) -> Any:
    # pydantic by itself would take seconds since 1970 for a date.
    if isinstance(value, str):
        if not _DATE.fullmatch(value):
            raise ValueError("must be a date such as 1999-03-31")
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError("must be a date that exists") from error
    return value


def _parse_decimal(value: Any) -> Any:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ValueError("must be a decimal number such as 7.5")
    return value


def _not_blank(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise ValueError("must not be blank")
    return value


QueryDate = Annotated[date, BeforeValidator(_parse_date)]
"""A calendar date, `YYYY-MM-DD`."""

Rating = Annotated[float, BeforeValidator(_parse_decimal), Field(ge=0, le=10)]
"""A rating as TMDB counts it, from 0 to 10."""

SearchText = Annotated[str, BeforeValidator(_not_blank), Field(min_length=1, max_length=200)]
"""What somebody typed into a search field: any text but blanks alone."""

LanguageCode = Annotated[
    str, BeforeValidator(lambda v: v.lower() if isinstance(v, str) else v), Field(pattern="^[a-z]{2,3}$")
]
"""An ISO 639 code as TMDB uses it, in any case."""


def sort_validator(names: Sequence[str]) -> tuple[BeforeValidator, WithJsonSchema]:
    """What makes a text a `sort` parameter: one of `names`, with `-` in front for descending."""
    allowed = [*names, *(f"-{name}" for name in names)]

    def check(value: Any) -> Any:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(names)}, with '-' in front for descending")
        return value

    return BeforeValidator(check), WithJsonSchema({"type": "string", "enum": allowed})


def split_sort(value: str) -> tuple[str, bool]:
    """The key, and whether it is descending."""
    return value.removeprefix("-"), value.startswith("-")


def complete(body: bytes, etag: str, headers: Mapping[str, str]) -> Response:
    """`body` with its tag."""
    return Response(body, headers={**_PRIVATE, "etag": etag, **headers, "content-type": "application/json"})


def not_modified(etag: str) -> Response:
    """304, for a client that has what `etag` names."""
    return Response(status_code=304, headers={**_PRIVATE, "etag": etag})


NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What you have is current."}}


def answer(request: Request, model: BaseModel, headers: Mapping[str, str] | None = None) -> Response:
    """`model` as a tagged answer."""
    body = model.model_dump_json(by_alias=True).encode()
    etag = content_etag(body)
    if is_current(request.headers.get("if-none-match"), etag):
        return not_modified(etag)
    return complete(body, etag, headers or {})
