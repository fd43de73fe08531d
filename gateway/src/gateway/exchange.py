"""One request and its answer: admitted, forwarded, streamed back, and accounted for, whatever happens between.

A state machine driven by callbacks from the client's connection, the service's connection and the clock.
"""

import logging
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from chassis.errors import BodyTooLargeError, MalformedRequestError, NotFoundError, ServiceError
from chassis.tokens import Principal
from gateway import answer, identifiers
from gateway.admission import bearer_token
from gateway.errors import BadGatewayError, GatewayTimeoutError, UpstreamBusyError, UpstreamUnavailableError
from gateway.headers import EXPOSED, PREFLIGHT, Headers, RequestHeaders, ResponseHeaders
from gateway.routing import LOCAL, Access, Resource, Route
from gateway.upstream.balancer import Endpoint
from gateway.upstream.connection import Failure, UpstreamConnection

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.client import ClientConnection

_log = logging.getLogger(__name__)

# A body up to this size is collected before the service is bothered, so that a slow client costs it nothing and
# a half-sent request never reaches it. A longer one is passed on as it comes.
_COLLECTED_BYTES = 65536
_JOINED_BYTES = 16384
_MAX_ADDRESSES_TRIED = 3
CLIENT_LEFT = 499
"""What is logged and counted when the client left before an answer; never sent."""


class Exchange:
    """A request of `client` and what becomes of it."""

    __slots__ = (
        "_attempts", "_avoid", "_body", "_body_bytes", "_client", "_connection", "_error", "_gateway", "_has_chunks",
        "_headers", "_http_1_0", "_is_admitted", "_is_bodyless", "_is_dispatched", "_is_finished",
        "_is_started", "_is_streaming", "_is_upgrade", "_keep_alive", "_out", "_rate_lines", "_raw_headers", "_target",
        "address", "body_complete", "bytes_out", "closes", "deadline", "method", "path", "principal", "request_id",
        "route", "started", "status", "traceparent",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the parts of a request line and its framing
        self,
        gateway: "Gateway",
        client: "ClientConnection",
        method: bytes,
        target: bytes,
        headers: Headers,
        *,
        is_http_1_0: bool,
        keep_alive: bool,
        is_upgrade: bool = False,
    ) -> None:
        self._gateway = gateway
        self._client = client
        self.method = method
        self._target = target
        self.path = target.partition(b"?")[0]
        self._raw_headers = headers
        self._headers: RequestHeaders | None = None
        self._http_1_0 = is_http_1_0
        self._keep_alive = keep_alive
        self._is_upgrade = is_upgrade
        self.started = gateway.now()
        self.deadline = inf
        self.route: Route | None = None
        self.principal: Principal | None = None
        self.request_id = ""
        self.traceparent = ""
        self.address = client.peer
        self._rate_lines = b""
        # The request
        self._body: list[bytes] = []
        self._body_bytes = 0
        self.body_complete = False
        self._error: ServiceError | None = None
        self._is_started = False
        self._is_admitted = False
        self._is_dispatched = False
        self._is_streaming = False
        # The service
        self._connection: UpstreamConnection | None = None
        self._attempts = 0
        self._avoid: list[Endpoint] = []
        # The answer
        self.status = 0
        self.closes = True
        self.bytes_out = 0
        self._out: list[bytes] = []
        self._has_chunks = False
        self._is_bodyless = False
        self._is_finished = False

    # Admission

    def start(self) -> None:
        """Begin, now that it is this request's turn."""
        self._is_started = True
        try:
            if self._error is not None:
                raise self._error
            self._admit()
        except ServiceError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - the one error path
            _log.exception("request failed in the gateway")
            self.refuse(ServiceError())

    def _admit(self) -> None:
        gateway = self._gateway
        headers = self._headers = RequestHeaders(self._raw_headers, self._http_1_0)
        self.address = gateway.proxies.client_address(self.address, headers.get(b"x-forwarded-for"))
        self._identify(headers)
        if not self._target.startswith(b"/") or b"#" in self._target or not self._target.isascii():
            raise MalformedRequestError("The request target is not a path with an optional query.")
        if self._is_upgrade and headers.has_body:
            raise MalformedRequestError("An upgrade with a body is not understood.")
        resource = gateway.admission.table.find(self.path)
        if self.method == b"OPTIONS" and self._is_preflight(headers):
            self._answer_preflight(resource, headers)
            return
        route = self.route = gateway.admission.table.route_of(resource, self.method)
        gateway.admission.limit_address(self.address, self.started)
        if route.access is Access.PUBLIC:
            self._rate_lines = gateway.admission.limit_public(route, self.address, self.started)
        if (headers.content_length or 0) > gateway.settings.max_body_bytes:
            raise BodyTooLargeError
        if route.access is Access.PUBLIC:
            self._go_on(None)
            return
        token = bearer_token(headers)
        principal = gateway.admission.remembered(token)
        if principal is None:
            gateway.spawn(self._verify(token))
        else:
            self._authorise(principal)

    def _identify(self, headers: RequestHeaders) -> None:
        self.request_id = identifiers.request_id(headers.get(b"x-request-id"))
        self.traceparent = identifiers.traceparent(headers.get(b"traceparent"))

    async def _verify(self, token: str) -> None:
        """Check the signature of a token seen for the first time."""
        try:
            principal = await self._gateway.admission.verifier.verify(token)
            if not self._is_finished:
                self._authorise(principal)
        except ServiceError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - the one error path
            _log.exception("request failed in the gateway")
            self.refuse(ServiceError())

    def _authorise(self, principal: Principal) -> None:
        assert self.route is not None  # noqa: S101 - matched before
        self.principal = principal
        self._rate_lines = self._gateway.admission.authorise(self.route, principal, self.started)
        self._go_on(principal)

    def _go_on(self, principal: Principal | None) -> None:
        assert self._headers is not None  # noqa: S101 - read before
        self._is_admitted = True
        if principal is not None and b"authorization" not in self._headers.nominated:
            # On public routes no token goes on: nobody has looked whether its session has ended.
            self._headers.forwarded += (b"authorization: Bearer ", principal.token.encode(), b"\r\n")
        if self._headers.expects_continue and not self.body_complete and not self._body and not self._http_1_0:
            self._client.write(answer.CONTINUE)
        if self.body_complete or self._body_bytes >= _COLLECTED_BYTES:
            self._dispatch()

    # Cross-origin requests

    def _is_preflight(self, headers: RequestHeaders) -> bool:
        return (
            headers.get(b"access-control-request-method") is not None
            and headers.get(b"origin") in self._gateway.cors_origins
        )

    def _answer_preflight(self, resource: Resource, headers: RequestHeaders) -> None:
        lines = [b"access-control-allow-methods: ", resource.allow.encode(), b"\r\n", PREFLIGHT]
        self.respond(204, lines, b"")

    # The request's body

    def body_received(self, data: bytes) -> None:
        """A part of the body has come."""
        if self._is_finished:
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._gateway.settings.max_body_bytes:
            self.input_failed(BodyTooLargeError())
        elif self._is_streaming:
            self._send_body(data)
        else:
            self._body.append(data)
            if self._body_bytes >= _COLLECTED_BYTES:
                self._client.hold_body()
                if self._is_admitted and not self._is_dispatched:
                    self._dispatch()

    def body_ended(self) -> None:
        """The body is complete."""
        self.body_complete = True
        if self._is_finished:
            return
        if self._is_streaming and self._connection is not None:
            if self._headers is not None and self._headers.is_chunked:
                self._connection.write(answer.LAST_CHUNK)
            if not self.status and self.route is not None:
                self.deadline = self._gateway.now() + self.route.timeout
        elif self._is_admitted and not self._is_dispatched:
            self._dispatch()

    def input_failed(self, error: ServiceError) -> None:
        """The rest of the request cannot be read, came too late or is too long."""
        self._error = error
        self._keep_alive = False
        if self._is_started:
            self.refuse(error)

    def _send_body(self, data: bytes) -> None:
        if self._connection is None or self._headers is None:
            return
        if self._headers.is_chunked:
            self._connection.write(b"".join(answer.chunk(data)))
        else:
            self._connection.write(data)

    # The way to the service

    def _dispatch(self, *, fresh: bool = False) -> None:
        assert self.route is not None  # noqa: S101 - matched before
        self._is_dispatched = True
        gateway = self._gateway
        if self.route.upstream == LOCAL:
            gateway.spawn(gateway.serve_local(self))
            return
        now = gateway.now()
        self.deadline = now + gateway.settings.upstream_wait_seconds + gateway.settings.connect_seconds
        try:
            connection = gateway.pools[self.route.upstream].acquire(self, now, avoid=self._avoid, fresh=fresh)
        except ServiceError as error:
            self.refuse(error)
            return
        if connection is not None:
            self.connected(connection)

    @property
    def is_abandoned(self) -> bool:
        return self._is_finished

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection to the service is there: send the request."""
        assert self.route is not None  # noqa: S101 - matched before
        self._connection = connection
        connection.begin(self, expects_body=self.method != b"HEAD")
        if not connection.is_usable:
            connection.discard()
            self.upstream_failed(Failure.BROKE_OFF)
            return
        self._attempts += 1
        if self._attempts == 1:
            self._gateway.pools[self.route.upstream].budget.deposit()
        connection.write(self._request_head(connection.endpoint))
        self.deadline = self._gateway.now() + self.route.timeout
        if not self.body_complete:
            # The service's time begins when it has everything; until then the client's does.
            self._is_streaming = True
            self.deadline = inf
            self._body = []
        self._client.release_body()

    def _request_head(self, endpoint: Endpoint) -> bytes:
        """The head, and as much of the body as there is."""
        headers = self._headers
        assert headers is not None  # noqa: S101 - read before
        parts = [
            self.method, b" ", self._target, b" HTTP/1.1\r\n", endpoint.host_line, *headers.forwarded,
            b"x-request-id: ", self.request_id.encode(), b"\r\nx-forwarded-for: ", self.address.encode(),
            b"\r\ntraceparent: ", self.traceparent.encode(), b"\r\n",
        ]  # fmt: skip
        if headers.is_chunked and not self.body_complete:
            parts += (answer.CHUNKED, b"\r\n")
            for data in self._body:
                parts += answer.chunk(data)
            return b"".join(parts)
        if headers.content_length is not None and not self.body_complete:
            parts.append(b"content-length: %d\r\n" % headers.content_length)
        elif self._body_bytes or self.method in (b"POST", b"PUT", b"PATCH"):
            parts.append(b"content-length: %d\r\n" % self._body_bytes)
        parts.append(b"\r\n")
        parts += self._body
        return b"".join(parts)

    def not_connected(self, endpoint: Endpoint) -> None:
        """An address could not be reached; nothing has been sent, so any method may try another."""
        assert self.route is not None  # noqa: S101 - matched before
        pool = self._gateway.pools[self.route.upstream]
        now = self._gateway.now()
        self._avoid.append(endpoint)
        if len(self._avoid) < _MAX_ADDRESSES_TRIED and pool.balancer.pick(now, self._avoid) is not None:
            pool.retries += 1
            self._dispatch()
            return
        pool.breaker.failure(now)
        self.refuse(UpstreamUnavailableError())

    # What the service's connection says

    def upstream_request_is_sent(self) -> bool:
        return self.body_complete

    def upstream_writable(self, writable: bool) -> None:
        if self._is_finished or not self._is_streaming:
            return
        if writable:
            self.deadline = inf if not self.body_complete else self.deadline
            self._client.release_body()
        else:
            self._client.hold_body()
            self.deadline = self._gateway.now() + self._gateway.settings.upstream_stall_seconds

    def upstream_head(self, status: int, headers: ResponseHeaders) -> None:
        assert self.route is not None and self._connection is not None  # noqa: S101, PT018 - we asked
        self._connection.endpoint.answered()
        self._gateway.pools[self.route.upstream].breaker.success()
        if headers.has_rate_limit:
            self._rate_lines = b""
        self._begin_answer(status, headers.lines, headers.content_length, has_policy=headers.has_policy)
        self.deadline = self._gateway.now() + self._gateway.settings.upstream_stall_seconds
        if self._client.is_write_paused:
            self.client_writable(False)

    def upstream_body(self, data: bytes) -> None:
        if self._is_bodyless:
            return
        self.bytes_out += len(data)
        if self._has_chunks:
            self._out += answer.chunk(data)
        else:
            self._out.append(data)

    def upstream_flush(self) -> None:
        """Everything that came at once goes on at once."""
        if not self._out:
            return
        out, self._out = self._out, []
        if self.bytes_out <= _JOINED_BYTES:
            self._client.write(b"".join(out))
        else:
            self._client.write_parts(out)
        if not self._client.is_write_paused:
            self.deadline = self._gateway.now() + self._gateway.settings.upstream_stall_seconds

    def upstream_end(self) -> None:
        self._connection = None
        if self._has_chunks:
            self._out.append(answer.LAST_CHUNK)
        self.upstream_flush()
        self._finish()

    def upstream_failed(self, failure: Failure) -> None:
        """The service broke off, or what it sent is no HTTP."""
        assert self.route is not None  # noqa: S101 - we asked
        connection, self._connection = self._connection, None
        if self._is_finished:
            return
        pool = self._gateway.pools[self.route.upstream]
        now = self._gateway.now()
        pool.failures[failure] += 1
        if connection is not None and self._may_replay(connection, failure) and pool.budget.withdraw(now):
            pool.retries += 1
            self._dispatch(fresh=True)
            return
        if connection is not None:
            connection.endpoint.broke(now)
        pool.breaker.failure(now)
        self.refuse(BadGatewayError())

    def _may_replay(self, connection: UpstreamConnection, failure: Failure) -> bool:
        """Once, when no byte of an answer has come and doing it twice is harmless; never a body already let go."""
        return (
            failure is Failure.BROKE_OFF
            and self._attempts <= 1
            and not connection.has_answered
            and not self._is_streaming
            and self.route is not None
            and self.route.replayable
        )

    # The answer

    def refuse(self, error: ServiceError) -> None:
        """Answer with a problem; an answer that has begun already is broken off."""
        if self._is_finished:
            return
        self._let_go()
        if self.status:
            self._finish(complete=False)
            self._client.break_off()
            return
        if not self.request_id:
            self.request_id = identifiers.request_id(None)
        status, lines, body = answer.problem(error, self.path.decode("latin-1"), self.request_id)
        if b"ratelimit" in b"".join(lines):
            self._rate_lines = b""
        self.respond(status, lines, body)

    def respond(self, status: int, lines: Sequence[bytes], body: bytes, *, has_policy: bool = False) -> None:
        """Answer with a complete body."""
        if self._is_finished:
            return
        length = None if status in (204, 304) else b"%d" % len(body)
        self._begin_answer(status, lines, length, has_policy=has_policy)
        if not self._is_bodyless:
            self.bytes_out = len(body)
            self._out.append(body)
        self._client.write_parts(self._out)
        self._out = []
        self._finish()

    def _begin_answer(self, status: int, lines: Sequence[bytes], length: bytes | None, *, has_policy: bool) -> None:
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
                out.append(answer.CHUNKED)
        out += (
            b"x-request-id: ", self.request_id.encode(), b"\r\n", self._rate_lines,
            answer.WITH_OWN_POLICY if has_policy else answer.FIXED, self._gateway.date.line(),
        )  # fmt: skip
        if self._gateway.cors_origins:
            self._allow_origin(out)
        self.closes = not keep_alive
        out.append(b"\r\n" if keep_alive else answer.CLOSE + b"\r\n")

    def _allow_origin(self, out: list[bytes]) -> None:
        origin = self._headers.get(b"origin") if self._headers is not None else None
        if origin in self._gateway.cors_origins:
            out += (b"access-control-allow-origin: ", origin or b"", b"\r\n", EXPOSED)

    def _finish(self, *, complete: bool = True) -> None:
        self._is_finished = True
        self.deadline = inf
        self._body = []
        self._gateway.record(self)
        if complete:
            self._client.release_body()
            self._client.exchange_done(self)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.discard()

    # What the client's connection and the clock say

    def client_gone(self) -> None:
        """The client left: the service is told at once by the end of its connection."""
        if self._is_finished:
            return
        self._let_go()
        if not self.status:
            self.status = CLIENT_LEFT
        self._finish(complete=False)

    def client_writable(self, writable: bool) -> None:
        """Take no more from the service than the client takes from us."""
        if self._connection is None or not self.status:
            return
        settings = self._gateway.settings
        if writable:
            self._connection.resume_reading()
            self.deadline = self._gateway.now() + settings.upstream_stall_seconds
        else:
            self._connection.pause_reading()
            self.deadline = self._gateway.now() + settings.write_stall_seconds

    def deadline_passed(self, now: float) -> None:
        """Give up whatever is being waited for."""
        self.deadline = inf
        connection = self._connection
        if self.route is None or self._is_finished:
            return
        if connection is None:
            self.refuse(UpstreamBusyError())
            return
        if not (self.status and self._client.is_write_paused):
            pool = self._gateway.pools[self.route.upstream]
            pool.failures[Failure.TIMEOUT] += 1
            pool.breaker.failure(now)
            connection.endpoint.broke(now)
        self.refuse(GatewayTimeoutError())

    # The gateway's own pages

    def local_scope(self) -> dict[str, Any]:
        """The request as an ASGI scope. HEAD is asked as GET; the body is left away when it is answered."""
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET" if self.method == b"HEAD" else self.method.decode(),
            "scheme": "http",
            "path": self.path.decode(),
            "raw_path": self.path,
            "root_path": "",
            "query_string": self._target.partition(b"?")[2],
            "headers": [(name, value) for name, value in self._raw_headers if name == b"if-none-match"],
            "client": None,
            "server": None,
        }

    def not_found(self) -> None:
        """A page that the gateway itself does not have."""
        self.refuse(NotFoundError())
