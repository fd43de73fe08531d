"""One JSON line for each request, written in batches: a request only appends to a list.

Lines are made at once and not by the thread that writes them: a line takes less memory than what it is made of, and
the thread then needs the interpreter for a moment only, instead of taking it from the requests.
"""

import asyncio
import logging
import sys
import time
from functools import lru_cache
from typing import Protocol, TextIO

from chassis.tokens import Principal

_log = logging.getLogger(__name__)

# Beyond this, a reader of our output that has stopped must not cost us our memory.
_MAX_LINES = 20_000


class Answered(Protocol):
    """What a line tells of a finished exchange."""

    request_id: str
    traceparent: str
    principal: Principal | None
    address: str
    status: int
    bytes_out: int


class AccessLog:
    """Collects entries and writes them to standard output, in the shape of the other log lines."""

    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._lines: list[str] = []
        self._writing: asyncio.Future[None] | None = None
        self.dropped = 0

    def add(self, exchange: Answered, method: str, template: str, seconds: float) -> None:
        """Note a finished exchange."""
        if len(self._lines) >= _MAX_LINES:
            self.dropped += 1
            return
        self._lines.append(_line(exchange, method, template, seconds))

    def flush(self) -> None:
        """Hand what has been collected to a thread, unless it is still at the last batch."""
        if not self._lines or (self._writing is not None and not self._writing.done()):
            return
        lines, self._lines = self._lines, []
        self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, lines)

    async def aclose(self) -> None:
        """Write the rest."""
        if self._writing is not None:
            await self._writing
        self._write(self._lines)
        self._lines = []

    def _write(self, lines: list[str]) -> None:
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


def _line(exchange: Answered, method: str, template: str, seconds: float) -> str:
    """The request as JSON. Nothing in it needs escaping: ids and addresses are checked, the rest is our own."""
    at, trace, principal = time.time(), exchange.traceparent, exchange.principal
    trace_id = f'"{trace[3:35]}"' if trace else "null"
    user = "null" if principal is None else f'"{_text(principal.user_id)}"'
    return (
        f'{{"time":"{_second(int(at))}.{int(at % 1 * 1e6):06d}Z","level":"info","service":"gateway","logger":"access",'
        f'"message":"request","requestId":"{exchange.request_id}","traceId":{trace_id},"method":"{method}",'
        f'"route":"{template}","status":{exchange.status},"milliseconds":{seconds * 1000:.1f},'
        f'"bytes":{exchange.bytes_out},"address":"{exchange.address}","userId":{user}}}\n'
    )
