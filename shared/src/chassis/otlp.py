"""Recording of spans with OpenTelemetry's SDK; only ever imported by `chassis.tracing` when it is asked for."""

import logging
import os
import secrets

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from chassis.context import parse_traceparent
from chassis.spans import Attributes, Kind, Span

_KINDS = {
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
}
_HTTP = "http/protobuf"


class RecordedSpan(Span):
    """One that goes to the collector."""

    __slots__ = ("_recorded",)

    def __init__(self, recorded: trace.Span) -> None:
        of = recorded.get_span_context()
        super().__init__(f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags:02x}")
        self._recorded = recorded

    def describe(self, attributes: Attributes, name: str | None = None) -> None:
        self._recorded.set_attributes(dict(attributes))
        if name is not None:
            self._recorded.update_name(name)

    def end(self, error: str | None = None) -> None:
        if error is not None:
            self._recorded.set_attribute("error.type", error)
            self._recorded.set_status(StatusCode.ERROR)
        self._recorded.end()


class OtlpTracer:
    """Sends spans over OTLP/HTTP in batches, from a thread of its own; a collector that is away costs spans only."""

    def __init__(self, service: str) -> None:
        asked = os.environ.get
        protocol = asked("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or asked("OTEL_EXPORTER_OTLP_PROTOCOL") or _HTTP
        if protocol != _HTTP:
            raise ValueError(f"traces are sent over {_HTTP}, not over {protocol!r}: set OTEL_EXPORTER_OTLP_PROTOCOL")
        # One line for every batch that could not be sent, with a stack, says less than its first line.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)
        attributes = {
            "service.name": os.environ.get("OTEL_SERVICE_NAME") or service,
            "service.namespace": "movie-package-suite",
            "service.instance.id": secrets.token_hex(8),
        }
        self._provider = TracerProvider(resource=Resource.create(attributes))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("chassis")

    def start(self, kind: Kind, name: str, parent: str | None, attributes: Attributes) -> Span:
        """A span below `parent`, else the first of a new trace."""
        above = Context()
        if (ids := parse_traceparent(parent)) is not None:
            of = SpanContext(int(ids[0], 16), int(ids[1], 16), is_remote=True, trace_flags=TraceFlags(int(ids[2], 16)))
            above = trace.set_span_in_context(NonRecordingSpan(of), above)
        return RecordedSpan(self._tracer.start_span(name, above, _KINDS[kind], dict(attributes)))
