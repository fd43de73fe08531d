"""Spans of SQL statements, below whatever is being traced."""

from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection, ExceptionContext, ExecutionContext

from chassis import tracing

_SPAN = "chassis_span"


def trace_statements(engine: Engine) -> None:
    """One span for each statement that a request or an event causes; its text has placeholders, no values."""

    @event.listens_for(engine, "before_cursor_execute")
    def _begin(
        connection: Connection, _cursor: Any, statement: str, _parameters: Any, _context: ExecutionContext, _many: bool
    ) -> None:
        operation = statement.split(maxsplit=1)[0].upper()
        attributes = {
            "db.system.name": "mysql",
            "db.namespace": connection.engine.url.database or "",
            "db.operation.name": operation,
            "db.query.text": statement,
        }
        connection.info[_SPAN] = tracing.start_child(tracing.Kind.CLIENT, operation, attributes)

    @event.listens_for(engine, "after_cursor_execute")
    def _end(
        connection: Connection, _cursor: Any, _statement: str, _parameters: Any, _context: ExecutionContext, _many: bool
    ) -> None:
        if (span := connection.info.pop(_SPAN, None)) is not None:
            span.end()

    @event.listens_for(engine, "handle_error")
    def _fail(context: ExceptionContext) -> None:
        span = None if context.connection is None else context.connection.info.pop(_SPAN, None)
        if span is not None:
            span.end(type(context.original_exception).__qualname__)
