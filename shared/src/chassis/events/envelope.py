"""The envelope of an event: CloudEvents 1.0, JSON, structured mode."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from chassis import context
from chassis.clock import to_rfc3339, utc_now
from chassis.errors import ServiceError
from chassis.ids import new_id
from chassis.strict_json import parse_json

CONTENT_TYPE = "application/cloudevents+json"
# RabbitMQ 4 refuses 16 MiB; ours hold one aggregate, and a thousand times less is already a mistake.
MAX_BYTES = 256 * 1024


class InvalidEventError(ValueError):
    """The message is no event that this version of the code can read."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one aggregate.

    `type` is `<service>.<aggregate>.<what happened>.v<major>` and is also the routing key; `source` is
    `/<service>`; `subject` names the aggregate (`user/<id>`); `data` is its full new state and holds its
    `revision`, an integer that grows with every change. `causation_id` is the id of the event whose handler
    made this one.
    """

    type: str
    source: str
    subject: str
    data: Mapping[str, Any]
    id: uuid.UUID = field(default_factory=new_id)
    time: datetime = field(default_factory=utc_now)
    correlation_id: str | None = field(default_factory=context.request_id.get)
    causation_id: str | None = field(default_factory=context.event_id.get)
    traceparent: str | None = field(default_factory=context.traceparent.get)

    @property
    def revision(self) -> int:
        return int(self.data["revision"])


def encode(event: Event) -> bytes:
    """The message body, made once when the change is stored and never rebuilt.

    Raises `ValueError` when it is larger than consumers accept.
    """
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": to_rfc3339(event.time),
        "datacontenttype": "application/json",
        "dataschema": f"urn:movie-package-suite:event:{event.type}",
        "partitionkey": event.subject,
        "data": dict(event.data),
    }
    optional = {
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
    }
    document.update({name: value for name, value in optional.items() if value is not None})
    body = orjson.dumps(document)
    if len(body) > MAX_BYTES:
        raise ValueError(f"event of {event.subject} has {len(body)} bytes, more than consumers accept")
    return body


def headers_of(event: Event) -> dict[str, str]:
    """What of the envelope is also told in the message's headers, for those who do not read bodies."""
    headers = {
        "cloudEvents_id": str(event.id),
        "cloudEvents_source": event.source,
        "cloudEvents_subject": event.subject,
        "cloudEvents_specversion": "1.0",
        "traceparent": event.traceparent,
    }
    return {name: value for name, value in headers.items() if value}


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidEventError(f"'{name}' is missing or no text")
    return value


def _optional_text(document: Mapping[str, Any], name: str) -> str | None:
    return None if document.get(name) is None else _text(document, name)


def decode(body: bytes) -> Event:
    """The event in a message body; members that this version does not know are ignored.

    Raises `InvalidEventError`.
    """
    if len(body) > MAX_BYTES:
        raise InvalidEventError("larger than an event may be")
    try:
        document = parse_json(body)
    except ServiceError as error:
        raise InvalidEventError("no valid JSON") from error
    if not isinstance(document, dict) or document.get("specversion") != "1.0":
        raise InvalidEventError("no CloudEvents 1.0 document")
    data = document.get("data")
    if not isinstance(data, dict) or type(data.get("revision")) is not int or data["revision"] < 0:
        raise InvalidEventError("'data.revision' is missing or no whole number")
    try:
        return Event(
            type=_text(document, "type"),
            source=_text(document, "source"),
            subject=_text(document, "subject"),
            data=data,
            id=uuid.UUID(_text(document, "id")),
            time=datetime.fromisoformat(_text(document, "time")),
            correlation_id=_optional_text(document, "correlationid"),
            causation_id=_optional_text(document, "causationid"),
            traceparent=_optional_text(document, "traceparent"),
        )
    except ValueError as error:
        raise InvalidEventError(str(error)) from error
