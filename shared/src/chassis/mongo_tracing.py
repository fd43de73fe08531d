"""Spans of MongoDB commands, below whatever is being traced."""

from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from chassis import tracing


class CommandSpans(CommandListener):
    """One span for each command that a request or an event causes; polls and pings cause none."""

    def __init__(self) -> None:
        self._open: dict[int, tracing.Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        attributes = {
            "db.system.name": "mongodb",
            "db.namespace": event.database_name,
            "db.operation.name": event.command_name,
        }
        collection = event.command.get(event.command_name)
        if isinstance(collection, str):
            attributes["db.collection.name"] = collection
        name = " ".join(filter(None, (event.command_name, attributes.get("db.collection.name"))))
        if (span := tracing.start_child(tracing.Kind.CLIENT, name, attributes)) is not None:
            self._open[event.request_id] = span

    def succeeded(self, event: CommandSucceededEvent) -> None:
        self._end(event.request_id, None)

    def failed(self, event: CommandFailedEvent) -> None:
        self._end(event.request_id, str(event.failure.get("code", "_OTHER")))

    def _end(self, request_id: int, error: str | None) -> None:
        if (span := self._open.pop(request_id, None)) is not None:
            span.end(error)
