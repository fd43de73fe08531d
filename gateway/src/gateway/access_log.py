"""One JSON line for each request, written in batches: a request only appends to a list."""

import asyncio
import logging
import sys
import time
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from gateway.exchange import Exchange

_log = logging.getLogger(__name__)

# Beyond this, a reader of our output that has stopped must not cost us our memory.
_MAX_LINES = 50_000

_Entry = tuple[float, str, str, int, float, str, str, str, uuid.UUID | None, int]


class AccessLog:
    """Collects entries and writes them to standard output, in the shape of the other log lines."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._entries: list[_Entry] = []
        self._writing: asyncio.Future[None] | None = None
        self.dropped = 0

    def add(self, exchange: "Exchange", method: str, template: str, seconds: float) -> None:
        """Note a finished exchange."""
        if len(self._entries) >= _MAX_LINES:
            self.dropped += 1
            return
        principal = exchange.principal
        self._entries.append(
            (
                time.time(),
                method,
                template,
                exchange.status,
                seconds,
                exchange.request_id,
                exchange.traceparent,
                exchange.address,
                None if principal is None else principal.user_id,
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
        if not entries:
            return
        lines = [_line(entry) for entry in entries]
        try:
            self._output.write("".join(lines))
            self._output.flush()
        except OSError as error:
            self.dropped += len(lines)
            _log.debug("access log not written: %s", error)


_text = lru_cache(maxsize=4096)(str)


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _line(entry: _Entry) -> str:
    """The entry as JSON. Nothing in it needs escaping: ids and addresses are checked, the rest is our own."""
    at, method, template, status, seconds, request_id, trace, address, user_id, size = entry
    trace_id = f'"{trace[3:35]}"' if trace else "null"
    user = "null" if user_id is None else f'"{_text(user_id)}"'
    return (
        f'{{"time":"{_second(int(at))}.{int(at % 1 * 1e6):06d}Z","level":"info","service":"gateway","logger":"access",'
        f'"message":"request","requestId":"{request_id}","traceId":{trace_id},"method":"{method}",'
        f'"route":"{template}","status":{status},"milliseconds":{seconds * 1000:.1f},"bytes":{size},'
        f'"address":"{address}","userId":{user}}}\n'
    )
