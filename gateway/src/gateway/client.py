"""One connection of a client: reads requests strictly, answers them in order, and gives nobody endless time.

This is the `http` class that uvicorn is given, so uvicorn keeps sockets, start and stop, while a proxied
request needs neither a task nor an ASGI message (why: the README's section on speed).
"""

import asyncio
import socket
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, cast

import httptools

from chassis.errors import MalformedRequestError, ServiceError
from gateway.app import Gateway
from gateway.batch import BatchedWriter
from gateway.errors import HeadersTooLargeError, RequestTimeoutError, UriTooLongError
from gateway.exchange import Exchange
from gateway.outgoing import OutgoingAnswer

if TYPE_CHECKING:
    from uvicorn.server import ServerState

WRITE_HIGH_WATER = 65536
# After a last answer to someone still sending, what they send is read for this long, so that the answer is not
# wiped out by a reset (RFC 9112 9.6).
_LINGER_SECONDS = 2.0
# Requests sent ahead of their answers that are read; more wait in the socket.
_MAX_PIPELINED = 16

# Linux: the first byte of `struct tcp_info` is the state.
_TCP_INFO: int | None = getattr(socket, "TCP_INFO", None)
_TCP_ESTABLISHED = 1

_HOLD_PIPELINE = 1
_HOLD_BODY = 2


class _RefusedInputError(Exception):
    """Stops the parser; the reason is kept beside it."""


class ClientConnection(asyncio.Protocol):
    """Parses what a client sends and keeps its exchanges in order."""

    def __init__(self, gateway: Gateway, exchange_class: type[Exchange], server_state: "ServerState") -> None:
        self._gateway = gateway
        self._exchange_class = exchange_class
        self._server_state = server_state
        self._parser = httptools.HttpRequestParser(self)
        self.transport: asyncio.Transport
        self._writer: BatchedWriter
        self.peer = ""
        self._current: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._is_pumping = False
        self._holds = 0
        self.is_write_paused = False
        self.is_draining = False
        self._is_closing = False
        self._ignores_input = False
        self._receive_deadline = inf
        self._refusal: ServiceError | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._in_head = False
        settings = gateway.settings
        self._max_header_bytes, self._max_header_count = settings.max_header_bytes, settings.max_header_count

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = transport = cast(asyncio.Transport, transport)
        self._writer = BatchedWriter(transport, self._gateway.batch)
        connections = self._server_state.connections
        if len(connections) >= self._gateway.settings.max_client_connections:
            self._is_closing = True
            transport.close()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else ""
        connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own classes only
        self._receive_deadline = self._gateway.now() + self._gateway.settings.header_seconds

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._is_closing = True
        self._receive_deadline = inf
        current, self._current = self._current, None
        if current is not None:
            current.client_gone()
        while self._queue:
            self._queue.popleft().client_gone()

    def pause_writing(self) -> None:
        self.is_write_paused = True
        if self._current is not None:
            self._current.client_writable(False)

    def resume_writing(self) -> None:
        self.is_write_paused = False
        if self._current is not None:
            self._current.client_writable(True)

    def data_received(self, data: bytes) -> None:
        if self._is_closing or self._ignores_input:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing but HTTP/1.1: the request is answered as such and is the last one.
            self._ignores_input = True
        except httptools.HttpParserError:
            self._refuse_input(self._refusal or MalformedRequestError())
            return
        if self._in_head:
            # A header that never ends is invisible to the callbacks.
            self._unparsed_bytes += len(data)
            settings = self._gateway.settings
            if self._unparsed_bytes > settings.max_header_bytes + settings.max_url_bytes:
                self._refuse_input(HeadersTooLargeError())
                return
        if self._current is None and self._queue:
            self._pump()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers = []
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._in_head = True
        self._receive_deadline = self._gateway.now() + self._gateway.settings.header_seconds

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url
        if len(self._url) > self._gateway.settings.max_url_bytes:
            self._refusal = UriTooLongError()
            raise _RefusedInputError

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self._max_header_bytes or len(self._headers) > self._max_header_count:
            self._refusal = HeadersTooLargeError()
            raise _RefusedInputError

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser = self._parser
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise _RefusedInputError
        is_upgrade = parser.should_upgrade()
        exchange = self._exchange_class(
            self._gateway,
            self,
            parser.get_method(),
            self._url,
            self._headers,
            is_http_1_0=version == "1.0",
            keep_alive=version == "1.1" and parser.should_keep_alive() and not is_upgrade,
            is_upgrade=is_upgrade,
        )
        self._receiving = exchange
        self._queue.append(exchange)
        self._receive_deadline = self._gateway.now() + self._gateway.settings.body_seconds
        if len(self._queue) > _MAX_PIPELINED:
            self._hold(_HOLD_PIPELINE)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._receiving.body_received(data)

    def on_message_complete(self) -> None:
        exchange, self._receiving = self._receiving, None
        self._receive_deadline = inf
        if exchange is not None:
            exchange.body_ended()

    # Order

    def _pump(self) -> None:
        """Start the next exchange when none is under way. Not recursive: a refusal is over before start() returns."""
        if self._is_pumping:
            return
        self._is_pumping = True
        try:
            while self._current is None and self._queue and not self._is_closing:
                exchange = self._current = self._queue.popleft()
                exchange.start()
        finally:
            self._is_pumping = False
        if self._holds and len(self._queue) <= _MAX_PIPELINED:
            self._release(_HOLD_PIPELINE)

    def exchange_done(self, exchange: OutgoingAnswer) -> None:
        """The answer to `exchange` has been written."""
        if exchange is not self._current:
            return
        self._current = None
        self._server_state.total_requests += 1
        if exchange.closes or (self.is_draining and not self._queue):
            self._close(lingering=not exchange.body_complete or self._ignores_input)
            return
        if self._queue:
            self._pump()
        elif not self._in_head and self._receiving is None:
            self._receive_deadline = self._gateway.now() + self._gateway.settings.keep_alive_seconds

    def _refuse_input(self, error: ServiceError) -> None:
        """What came cannot be read on: answer that, in its turn, and listen no more."""
        self._ignores_input = True
        self._in_head = False
        self._receive_deadline = inf
        exchange = self._receiving
        if exchange is None:
            target = self._url if self._url.startswith(b"/") else b"/"
            exchange = self._exchange_class(self._gateway, self, b"-", target, [], is_http_1_0=False, keep_alive=False)
            self._queue.append(exchange)
        exchange.input_failed(error)
        self._pump()

    def _close(self, *, lingering: bool) -> None:
        self._is_closing = True
        if self.transport.is_closing():
            return
        self._writer.send()
        if lingering and self.transport.can_write_eof():
            self._receive_deadline = self._gateway.now() + _LINGER_SECONDS
            self.transport.write_eof()
            self._holds = 0
            self.transport.resume_reading()
        else:
            self.transport.close()

    def break_off(self) -> None:
        """End the connection in the middle of an answer, so that the client notices that it is not complete."""
        self._is_closing = True
        self._writer.send()
        self.transport.close()
        # What the client does not take would keep the connection open for ever.
        self._receive_deadline = self._gateway.now() + _LINGER_SECONDS

    # The exchange's side

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    def write_parts(self, parts: list[bytes]) -> None:
        """Write without joining, for parts that are large."""
        self._writer.send()
        if not self.transport.is_closing():
            self.transport.writelines(parts)

    def hold_body(self) -> None:
        """Read no more of the body for now."""
        self._hold(_HOLD_BODY)

    def release_body(self) -> None:
        if self._holds:
            self._release(_HOLD_BODY)

    def _hold(self, reason: int) -> None:
        if not self._holds and not self.transport.is_closing():
            self.transport.pause_reading()
        self._holds |= reason
        self._receive_deadline = inf

    def _release(self, reason: int) -> None:
        if not self._holds & reason:
            return
        self._holds &= ~reason
        if not self._holds and not self._is_closing and not self.transport.is_closing():
            self.transport.resume_reading()
            if self._receiving is not None or self._in_head:
                self._receive_deadline = self._gateway.now() + self._gateway.settings.body_seconds

    # Time and shutdown

    def sweep(self, now: float) -> None:
        """Act on the deadlines that have passed."""
        if now >= self._receive_deadline:
            self._receive_deadline = inf
            if self._is_closing:
                self.transport.abort()
            elif self._in_head or self._receiving is not None:
                self._refuse_input(RequestTimeoutError())
            elif self._current is None:
                self.transport.close()
        if self._holds and self._peer_is_gone():
            self.transport.abort()
            return
        current = self._current
        if current is not None and now >= current.deadline:
            current.deadline_passed(now)

    def _peer_is_gone(self) -> bool:
        """Whether the client has left while nothing is read from it: the kernel knows."""
        connection = self.transport.get_extra_info("socket")
        if _TCP_INFO is None or connection is None or self.transport.is_closing():
            return False
        try:
            state: int = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1)[0]
        except OSError:
            return True
        return state != _TCP_ESTABLISHED

    def shutdown(self) -> None:
        """uvicorn asks to end: at once when idle, else after the answer under way."""
        self.is_draining = True
        if self._current is None and not self._queue and self._receiving is None:
            self._writer.send()
            self.transport.close()


def protocol_class(gateway: Gateway, exchange_class: type[Exchange]) -> type[asyncio.Protocol]:
    """The class for uvicorn's `http` setting, bound to `gateway`."""

    class BoundClientConnection(ClientConnection):
        def __init__(self, config: Any, server_state: "ServerState", app_state: Any, _loop: Any = None) -> None:
            super().__init__(gateway, exchange_class, server_state)

    return BoundClientConnection
