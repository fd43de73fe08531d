"""The ids that tie what is done to its cause: request id, W3C trace context, and the event that is being handled."""

import re
import secrets
from contextvars import ContextVar

from chassis.ids import new_id

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
event_id: ContextVar[str | None] = ContextVar("event_id", default=None)

_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:@/+=-]{1,128}")
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00, no all-zero ids.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


def accept_request_id(offered: str | None) -> str:
    """The client's request id when it is a sane token of at most 128 characters, else a new one."""
    if offered and _SANE_REQUEST_ID.fullmatch(offered):
        return offered
    return str(new_id())


def parse_traceparent(offered: str | None) -> tuple[str, str, str] | None:
    """Trace id, span id and flags of a valid traceparent."""
    match = _TRACEPARENT.fullmatch(offered) if offered else None
    return (match[1], match[2], match[3]) if match else None


def continue_trace(offered: str | None) -> str:
    """A traceparent with a new span id: of the trace offered when that is valid, else of a new trace."""
    ids = parse_traceparent(offered)
    trace_id, _, flags = ids or (secrets.token_hex(16), "", "00")
    return f"00-{trace_id}-{secrets.token_hex(8)}-{flags}"


def trace_id() -> str | None:
    """The trace id of the present context, 32 hex digits."""
    present = traceparent.get()
    return present.split("-")[1] if present else None


def outgoing_headers() -> dict[str, str]:
    """The headers that carry the present context to another service."""
    headers = {}
    if (rid := request_id.get()) is not None:
        headers["x-request-id"] = rid
    if (trace := traceparent.get()) is not None:
        headers["traceparent"] = trace
    return headers
