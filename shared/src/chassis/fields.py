"""Types of single values as the API takes them: strict, bounded, and with messages a person can act on.

Bodies are validated as Python objects in pydantic's strict mode, where text is never taken for a time or an
id; these types do that conversion themselves and nothing wider.
"""

import re
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints
from pydantic.alias_generators import to_camel

from chassis.clock import to_rfc3339

# RFC 3339: date, time and offset are all required; pydantic alone would accept numbers and naive times.
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
# What is left of "+01:00" in a query where the plus was not encoded.
_LOST_PLUS = re.compile(r".+:\d\d(\.\d+)? \d\d:\d\d", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


def _parse_time(value: Any) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("must carry an offset from UTC")
        return value
    if isinstance(value, str) and _LOST_PLUS.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with an offset, whose + is written %2B in a query")
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 time with an offset, such as 2026-01-31T12:00:00Z")
    text = re.sub(r"(\.\d{6})\d+", r"\1", value.upper())
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a time that exists") from error


def _parse_uuid(value: Any) -> Any:
    if isinstance(value, str):
        # Only the canonical form, so that one id has one spelling in URLs, logs and caches.
        if not re.fullmatch(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", value):
            raise ValueError("must be a UUID in lower-case hyphenated form")
        return uuid.UUID(value)
    return value


def _parse_query_integer(value: Any) -> Any:
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value):
            raise ValueError("must be a whole number")
        return int(value)
    return value


def _no_control_characters(value: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise ValueError("must not contain control characters")
    return value


Timestamp = Annotated[
    datetime,
    BeforeValidator(_parse_time, json_schema_input_type=str),
    PlainSerializer(to_rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00Z"]),
]
"""An aware time in UTC; RFC 3339 with `Z` on the wire."""

Id = Annotated[
    uuid.UUID,
    BeforeValidator(_parse_uuid, json_schema_input_type=str),
    Field(json_schema_extra={"format": "uuid"}, examples=["0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"]),
]
"""A UUID in its canonical lower-case form."""

QueryInt = Annotated[int, BeforeValidator(_parse_query_integer)]
"""A whole number in a query or path: digits with an optional sign, at most 18 of them."""

ExternalId = Annotated[int, BeforeValidator(_parse_query_integer), Field(ge=1, le=2**31 - 1)]
"""An id that another system assigns (a positive 32-bit integer)."""

Line = Annotated[str, StringConstraints(strict=True), AfterValidator(_no_control_characters)]
"""One line of text: no control characters."""


class RequestModel(BaseModel):
    """A JSON body as clients send it: camelCase, no unknown members, no conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class ResponseModel(BaseModel):
    """A JSON answer: camelCase, every member always present, `null` where there is no value."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        from_attributes=True,
        json_schema_serialization_defaults_required=True,
    )
