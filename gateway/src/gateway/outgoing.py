"""The way of an answer to the client: head, framing and body, as it comes from wherever it comes."""

from collections.abc import Sequence
from typing import Protocol

from gateway import answer
from gateway.answer import DateLine
from gateway.framing import CHUNKED, LAST_CHUNK, chunk

# Small answers are written in one piece; copying larger ones together would cost more than it saves.
_JOINED_BYTES = 16384


class Client(Protocol):
    """The connection that a request came by. `is_draining` says that this answer is to be the last."""

    peer: str
    is_draining: bool
    is_write_paused: bool

    def write(self, data: bytes) -> None: ...
    def write_parts(self, parts: list[bytes]) -> None: ...
    def hold_body(self) -> None: ...
    def release_body(self) -> None: ...
    def exchange_done(self, exchange: "OutgoingAnswer") -> None: ...
    def break_off(self) -> None: ...


class OutgoingAnswer:
    """Writes one answer. `status` is 0 until it has begun; `closes` says that the connection ends with it."""

    __slots__ = (
        "_client", "_date", "_extra_lines", "_has_chunks", "_http_1_0", "_is_bodyless", "_keep_alive", "_out",
        "body_complete", "bytes_out", "closes", "method", "request_id", "status",
    )  # fmt: skip

    _client: Client

    def __init__(self, client: Client, date: DateLine, method: bytes, *, is_http_1_0: bool, keep_alive: bool) -> None:
        self._client = client
        self._date = date
        self.method = method
        self._http_1_0 = is_http_1_0
        self._keep_alive = keep_alive
        # Of the request: what has not come completely cannot be followed by another on the same connection.
        self.body_complete = False
        self.request_id = ""
        self.status = 0
        self.closes = True
        self.bytes_out = 0
        self._extra_lines = b""
        self._out: list[bytes] = []
        self._has_chunks = False
        self._is_bodyless = False

    def _begin(self, status: int, lines: Sequence[bytes], length: bytes | None, *, has_policy: bool) -> None:
        """Put the head together; a body of unknown `length` goes in chunks, or to the end of the connection."""
        self.status = status
        self._is_bodyless = self.method == b"HEAD" or status in (204, 304)
        keep_alive = self._keep_alive and self.body_complete and not self._client.is_draining
        out = self._out
        out.append(answer.status_line(status))
        out += lines
        if length is not None and status != 204:
            out += (b"content-length: ", length, b"\r\n")
        elif not self._is_bodyless:
            if self._http_1_0:
                keep_alive = False
            else:
                self._has_chunks = True
                out.append(CHUNKED)
        out += (
            b"x-request-id: ", self.request_id.encode(), b"\r\n", self._extra_lines,
            answer.WITH_OWN_POLICY if has_policy else answer.FIXED, self._date.line(),
        )  # fmt: skip
        self.closes = not keep_alive
        out.append(b"\r\n" if keep_alive else answer.LAST_LINES)

    def _add(self, data: bytes) -> None:
        """A part of the body."""
        if self._is_bodyless:
            return
        self.bytes_out += len(data)
        if self._has_chunks:
            self._out += chunk(data)
        else:
            self._out.append(data)

    def _flush(self) -> bool:
        """Write what has been collected; whether there was anything."""
        if not self._out:
            return False
        out, self._out = self._out, []
        if self.bytes_out <= _JOINED_BYTES:
            self._client.write(b"".join(out))
        else:
            self._client.write_parts(out)
        return True

    def _end(self) -> None:
        """The body is complete."""
        if self._has_chunks:
            self._out.append(LAST_CHUNK)
        self._flush()

    def _write_whole(self, status: int, lines: Sequence[bytes], body: bytes, *, has_policy: bool) -> None:
        self._begin(status, lines, None if status in (204, 304) else b"%d" % len(body), has_policy=has_policy)
        self._add(body)
        self._end()
