"""A tracer whose spans a test can look at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chassis import context, tracing
from chassis.tracing import Attributes, Kind, Span


@dataclass
class RecordedSpan(Span):
    """A span and what became of it; `ended_with` has the error, or None, of each time that it was ended."""

    kind: Kind
    name: str
    parent: str | None
    attributes: dict[str, str | int | float | bool]
    traceparent: str = ""
    ended_with: list[str | None] = field(default_factory=list)

    def describe(self, attributes: Attributes, name: str | None = None) -> None:
        self.attributes.update(attributes)
        self.name = name or self.name

    def end(self, error: str | None = None) -> None:
        self.ended_with.append(error)


class RecordingTracer:
    """Keeps everything."""

    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []

    def start(self, kind: Kind, name: str, parent: str | None, attributes: Attributes) -> Span:
        span = RecordedSpan(kind, name, parent, dict(attributes), context.continue_trace(parent))
        self.spans.append(span)
        return span


@contextmanager
def recording() -> Iterator[RecordingTracer]:
    """Record the spans of this process within the block."""
    tracer = RecordingTracer()
    tracing.use_tracer(tracer)
    try:
        yield tracer
    finally:
        tracing.use_tracer(None)
