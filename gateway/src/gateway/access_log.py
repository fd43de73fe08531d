"""One JSON line for each request, written in batches: a request only appends to a list."""

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import orjson

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_log = logging.getLogger(__name__)

# Beyond this, a reader of our output that has stopped must not cost us our memory.
_MAX_LINES = 50_000

_Entry = tuple[float, str, str, int, float, str, str, str, str | None, int]


class AccessLog:
    """Collects entries and writes them to standard output, in the shape of the other log lines."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._entries: list[_Entry] = []
        self._writing: asyncio.Future[None] | None = None
        self.dropped = 0

    def add(self, exchange: "Exchange", template: str, seconds: float) -> None:
        """Note a finished exchange."""
        if len(self._entries) >= _MAX_LINES:
            self.dropped += 1
            return
        principal = exchange.principal
        self._entries.append(
            (
                time.time(),
                exchange.method.decode("latin-1"),
                template,
                exchange.status,
                seconds,
                exchange.request_id,
                exchange.traceparent,
                exchange.address,
                None if principal is None else str(principal.user_id),
                exchange.bytes_out,
            )
        )

    def flush(self) -> None:
        """Hand what has been collected to a thread, unless it is still at the last batch."""
        if not self._entries or (self._writing is not None and not self._writing.done()):
            return
        entries, self._entries = self._entries, []
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, entries)

    async def aclose(self) -> None:
        """Write the rest."""
        if self._writing is not None:
            await self._writing
        self._write(self._entries)
        self._entries = []

    def _write(self, entries: list[_Entry]) -> None:
        lines = [_line(entry) for entry in entries]
        if not lines:
            return
        try:
            self._output.write("\n".join(lines) + "\n")
            self._output.flush()
        except OSError as error:
            self.dropped += len(lines)
            _log.debug("access log not written: %s", error)


def _line(entry: _Entry) -> str:
    at, method, template, status, seconds, request_id, trace, address, user_id, size = entry
    return orjson.dumps(
        {
            "time": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
            "level": "info",
            "service": "gateway",
            "logger": "access",
            "message": "request",
            "requestId": request_id,
            "traceId": trace.split("-")[1] if trace else None,
            "method": method,
            "route": template,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "bytes": size,
            "address": address,
            "userId": user_id,
        }
    ).decode()
