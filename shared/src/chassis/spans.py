"""What a span is, for those who use spans (`chassis.tracing`) and for who records them (`chassis.otlp`)."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Protocol

Attributes = Mapping[str, str | int | float | bool]


class Kind(Enum):
    """The sides of a call and of a message."""

    SERVER = auto()
    CLIENT = auto()
    PRODUCER = auto()
    CONSUMER = auto()


class Span:
    """One that is not recorded; `traceparent` names it to others."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent

    def describe(self, attributes: Attributes, name: str | None = None) -> None:
        """Add what was not known at the start."""

    def end(self, error: str | None = None) -> None:
        """It is over; `error` is the class of an exception or a status, never a message."""


class Tracer(Protocol):
    """Makes spans that are recorded."""

    def start(self, kind: Kind, name: str, parent: str | None, attributes: Attributes) -> Span: ...
