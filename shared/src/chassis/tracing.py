"""Spans: what this process did for a request or an event, when and below what.

The ids of W3C Trace Context are always passed on. They become OpenTelemetry spans, sent over OTLP, only when
`OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set: without it nothing of OpenTelemetry is
imported, and a span is no more than its id. Names and attributes are those of OpenTelemetry's semantic conventions.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from chassis import context
from chassis.spans import Attributes, Kind, Span, Tracer

_NONE: Attributes = {}


_tracer: Tracer | None = None


def configure_tracing(service: str) -> None:
    """Record spans of this process as those of `service`, if the environment names an OTLP endpoint.

    `OTEL_SERVICE_NAME` and the other standard variables of the SDK (sampler, batches, headers, resource
    attributes, time-outs) have their usual meaning. Raises `ValueError` for a protocol other than HTTP.
    """
    global _tracer  # noqa: PLW0603 - one for the whole process, like its logging
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_disabled or not any(os.environ.get(name) for name in endpoints):
        return
    from chassis.otlp import OtlpTracer  # noqa: PLC0415 - costs memory, and most processes never need it

    _tracer = OtlpTracer(service)


def use_tracer(tracer: Tracer | None) -> None:
    """Take this one instead (for tests)."""
    global _tracer  # noqa: PLW0603 - see above
    _tracer = tracer


def is_recording() -> bool:
    """Whether spans of this process are recorded."""
    return _tracer is not None


def start(kind: Kind, name: str, offered: str | None, attributes: Attributes = _NONE) -> Span:
    """A span below the one that `offered` (a traceparent from outside) names, else the first of a new trace."""
    if _tracer is None:
        return Span(context.continue_trace(offered))
    return _tracer.start(kind, name, offered, attributes)


def start_child(kind: Kind, name: str, attributes: Attributes = _NONE) -> Span | None:
    """A span below the present one; None when spans are not recorded or nothing is being traced."""
    parent = context.traceparent.get()
    return None if _tracer is None or parent is None else _tracer.start(kind, name, parent, attributes)


@contextmanager
def entered(kind: Kind, name: str, offered: str | None, attributes: Attributes = _NONE) -> Iterator[Span]:
    """Like `start`; inside the block it is the present span, and it ends with the block."""
    span = start(kind, name, offered, attributes)
    before = context.traceparent.set(span.traceparent)
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__qualname__)
        raise
    else:
        span.end()
    finally:
        context.traceparent.reset(before)


@contextmanager
def sent(kind: Kind, name: str, parent: str | None, attributes: Attributes = _NONE) -> Iterator[Span | None]:
    """A span of sending something on behalf of `parent`; None when it is not recorded.

    It does not become the present span: connections that are made meanwhile outlive it.
    """
    span = None if _tracer is None or parent is None else _tracer.start(kind, name, parent, attributes)
    if span is None:
        yield None
        return
    try:
        yield span
    except BaseException as error:
        span.end(type(error).__qualname__)
        raise
    span.end()


__all__ = [
    "Attributes",
    "Kind",
    "Span",
    "Tracer",
    "configure_tracing",
    "entered",
    "is_recording",
    "sent",
    "start",
    "start_child",
    "use_tracer",
]
