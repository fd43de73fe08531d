"""One connection to a service: one exchange at a time, driven by callbacks, no task and no queue.

Everything about an exchange lives in its handler, which is let go before the connection is given back. A late
byte for a finished exchange therefore finds no handler and ends the connection instead of reaching someone else.
"""

import asyncio
from enum import Enum
from typing import Protocol, cast

import httptools

from gateway.batch import Batch, BatchedWriter
from gateway.headers import ResponseHeaders
from gateway.upstream.balancer import Endpoint

WRITE_HIGH_WATER = 65536
# Of what has come without the head being complete; a single read may bring more.
_MAX_HEAD_BYTES = 65536


class Failure(Enum):
    """How an exchange with a service can fail."""

    UNREACHABLE = "unreachable"
    BROKE_OFF = "broke-off"
    INVALID_ANSWER = "invalid-answer"
    TIMEOUT = "timeout"


class ResponseHandler(Protocol):
    """What a connection tells the exchange it works for. `body_complete` says that the whole request is sent."""

    body_complete: bool

    def upstream_head(self, status: int, headers: ResponseHeaders) -> None: ...
    def upstream_body(self, data: bytes) -> None: ...
    def upstream_flush(self) -> None: ...
    def upstream_end(self) -> None: ...
    def upstream_failed(self, failure: Failure) -> None: ...
    def upstream_writable(self, writable: bool) -> None: ...


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def done(self, connection: "UpstreamConnection", *, reusable: bool) -> None: ...
    def lost(self, connection: "UpstreamConnection") -> None: ...


class UpstreamConnection(asyncio.Protocol):
    """A connection of a pool."""

    def __init__(self, pool: Owner, endpoint: Endpoint, batch: Batch) -> None:
        self._pool = pool
        self._batch = batch
        self._writer: BatchedWriter | None = None
        self.endpoint = endpoint
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._handler: ResponseHandler | None = None
        self._reading_paused = False
        self.idle_since = 0.0
        self.is_reused = False
        self.has_answered = False
        self._reset(expects_body=True)

    def _reset(self, *, expects_body: bool) -> None:
        self._expects_body = expects_body
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._head_done = False
        self._is_complete = False
        self._is_informational = False
        self._until_eof = False
        self._keeps_alive = False
        self._is_dirty = False
        self.has_answered = False

    # The exchange's side

    def begin(self, handler: ResponseHandler, *, expects_body: bool) -> None:
        """Work for `handler` until its answer is complete. `expects_body` is false for HEAD."""
        self._reset(expects_body=expects_body)
        self._handler = handler

    def write(self, data: bytes) -> None:
        """Send a part of the request."""
        if self._writer is not None:
            self._writer.write(data)

    def pause_reading(self) -> None:
        """Stop taking the answer, because the client does not."""
        if not self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def discard(self) -> None:
        """Break off at once; the service sees its client leave."""
        if self._handler is not None:
            self._handler = None
            self._pool.done(self, reusable=False)
        if self._transport is not None:
            self._transport.abort()

    # The pool's side

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._writer = BatchedWriter(self._transport, self._batch)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.lost(self)
        handler, self._handler = self._handler, None
        if handler is None:
            return
        self._pool.done(self, reusable=False)
        if self._until_eof and exc is None:
            handler.upstream_end()
        else:
            handler.upstream_failed(Failure.BROKE_OFF)

    def pause_writing(self) -> None:
        if self._handler is not None:
            self._handler.upstream_writable(False)

    def resume_writing(self) -> None:
        if self._handler is not None:
            self._handler.upstream_writable(True)

    def data_received(self, data: bytes) -> None:
        handler = self._handler
        if handler is None:
            # Nobody asked: whatever this is must not be taken for the answer to the next request.
            self.close()
            return
        self.has_answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # Trailing rubbish after a complete answer costs the connection, not the answer.
            if not self._is_complete:
                self._handler = None
                self._pool.done(self, reusable=False)
                self.close()
                handler.upstream_failed(Failure.INVALID_ANSWER)
                return
            self._is_dirty = True
        if self._handler is not handler:
            return  # given up by the exchange from within a callback
        if self._is_complete:
            self._finish(handler)
        else:
            if not self._head_done:
                self._head_bytes += len(data)
                if self._head_bytes > _MAX_HEAD_BYTES:
                    self.discard()
                    handler.upstream_failed(Failure.INVALID_ANSWER)
                return
            handler.upstream_flush()

    def _finish(self, handler: ResponseHandler) -> None:
        self._handler = None
        reusable = self._keeps_alive and not self._is_dirty and handler.body_complete
        if not self._expects_body:
            # The parser cannot be told that the answer to HEAD has no body: it still waits for one.
            self._parser = httptools.HttpResponseParser(self)
        self.resume_reading()
        self.is_reused = True
        self._pool.done(self, reusable=reusable)
        handler.upstream_end()

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._is_complete:
            self._is_dirty = True
        self._headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_complete or self._handler is None:
            self._is_dirty = True
            return
        status = self._parser.get_status_code()
        if status < 200:
            # We never offer an upgrade, so 101 is no answer to anything we asked.
            if status == 101:
                raise ValueError("unasked upgrade")
            self._is_informational = True
            return
        headers = ResponseHeaders(self._headers)
        self._head_done = True
        has_body = self._expects_body and status not in (204, 304)
        self._until_eof = has_body and headers.content_length is None and not headers.is_chunked
        self._keeps_alive = (
            not headers.says_close if not has_body else self._parser.should_keep_alive()
        ) and self._parser.get_http_version() == "1.1"
        self._handler.upstream_head(status, headers)
        if not self._expects_body:
            self._is_complete = True

    def on_body(self, data: bytes) -> None:
        if self._is_complete:
            self._is_dirty = True
        elif self._handler is not None:
            self._handler.upstream_body(data)

    def on_message_complete(self) -> None:
        if self._is_informational:
            self._is_informational = False
        elif self._head_done:
            self._is_complete = True
