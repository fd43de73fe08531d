"""One request and its answer: admitted, forwarded, streamed back, and accounted for, whatever happens between.

A state machine driven by callbacks from the client's connection, the service's connection and the clock.
"""

import logging
from collections.abc import Sequence
from math import inf

from chassis.errors import BodyTooLargeError, MalformedRequestError, ServiceError
from chassis.tokens import Principal
from gateway import answer, cors, identifiers
from gateway.admission import bearer_token
from gateway.app import Gateway
from gateway.errors import BadGatewayError, GatewayTimeoutError, UpstreamBusyError, UpstreamUnavailableError
from gateway.framing import LAST_CHUNK, chunk, end_of_request
from gateway.headers import Headers, RequestHeaders, ResponseHeaders
from gateway.outgoing import Client, OutgoingAnswer
from gateway.routing import LOCAL, UNMATCHED, Access
from gateway.upstream.balancer import Endpoint
from gateway.upstream.connection import Failure, UpstreamConnection

_log = logging.getLogger(__name__)

# A body up to this size is collected before the service is bothered, so that a slow client costs it nothing and
# a half-sent request never reaches it. A longer one is passed on as it comes.
_COLLECTED_BYTES = 65536
_MAX_TRIES = 3
_SAFE = (b"GET", b"HEAD")
_NOTHING_DONE = (UpstreamBusyError, UpstreamUnavailableError)
_NO_HEADERS = RequestHeaders((), http_1_0=True)
_CLIENT_LEFT = 499  # logged and counted when the client left before an answer; never sent


class Exchange(OutgoingAnswer):
    """A request of `client` and what becomes of it."""

    __slots__ = (
        "_attempts", "_avoid", "_body", "_body_bytes", "_connection", "_error", "_gateway", "_headers", "_is_admitted",
        "_is_dispatched", "_is_started", "_is_streaming", "_is_upgrade", "_refused", "address", "deadline",
        "is_finished", "path", "principal", "raw_headers", "route", "started", "target", "traceparent",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the parts of a request line and its framing
        self,
        gateway: Gateway,
        client: Client,
        method: bytes,
        target: bytes,
        headers: Headers,
        *,
        is_http_1_0: bool,
        keep_alive: bool,
        is_upgrade: bool = False,
    ) -> None:
        super().__init__(client, gateway.date, method, is_http_1_0=is_http_1_0, keep_alive=keep_alive)
        self._gateway = gateway
        self.target = target
        self.path = target.partition(b"?")[0]
        self.raw_headers = headers
        self._headers = _NO_HEADERS
        self._is_upgrade = is_upgrade
        self.started = gateway.now()
        self.deadline = inf
        self.route = UNMATCHED
        self.principal: Principal | None = None
        self.traceparent = ""
        self.address = client.peer
        # The request
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._error: ServiceError | None = None
        self._is_started = False
        self._is_admitted = False
        self._is_dispatched = False
        self._is_streaming = False
        # The service
        self._connection: UpstreamConnection | None = None
        self._attempts = self._refused = 0
        self._avoid: list[Endpoint] = []
        self.is_finished = False

    # Admission

    def start(self) -> None:
        """Begin, now that it is this request's turn."""
        self._is_started = True
        try:
            if self._error is not None:
                raise self._error
            self._admit()
        except Exception as error:  # noqa: BLE001 - the one error path
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, ServiceError):
            _log.error("request failed in the gateway", exc_info=error)
            error = ServiceError()
        self.refuse(error)

    def _admit(self) -> None:
        gateway = self._gateway
        headers = self._headers = RequestHeaders(self.raw_headers, http_1_0=self._http_1_0)
        self.address = gateway.proxies.client_address(self.address, headers.get(b"x-forwarded-for"))
        self.request_id = identifiers.request_id(headers.get(b"x-request-id"))
        self.traceparent = self._continue_trace(headers)
        if b"tracestate" in headers.values and not identifiers.is_continued(
            headers.get(b"traceparent"), self.traceparent
        ):
            headers.withhold((b"tracestate",))  # W3C Trace Context 3.3: it says something of its own trace only
        if not self.target.startswith(b"/") or b"#" in self.target or not self.target.isascii():
            raise MalformedRequestError(
                "The request target is not a path with an optional query. Send it in that form."
            )
        if self._is_upgrade and headers.has_body:
            raise MalformedRequestError("An upgrade with a body is not understood. Send the body without 'Upgrade'.")
        resource = gateway.admission.table.find(self.path)
        if self.method == b"OPTIONS" and cors.is_preflight(headers, gateway.cors_origins):
            self.respond(204, cors.preflight_lines(resource), b"")
            return
        route = self.route = gateway.admission.table.route_of(resource, self.method)
        gateway.admission.limit_address(self.address, self.started)
        if route.access is Access.PUBLIC:
            self._extra_lines = gateway.admission.limit_public(route, self.address, self.started)
        if headers.content_length and headers.content_length > gateway.settings.max_body_bytes:
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

    def _continue_trace(self, headers: RequestHeaders) -> str:
        return identifiers.traceparent(headers.get(b"traceparent"))

    async def _verify(self, token: str) -> None:
        """Check the signature of a token seen for the first time."""
        try:
            principal = await self._gateway.admission.verifier.verify(token)
            if not self.is_finished:
                self._authorise(principal)
        except Exception as error:  # noqa: BLE001 - the one error path
            self._fail(error)

    def _authorise(self, principal: Principal) -> None:
        self.principal = principal
        self._extra_lines = self._gateway.admission.authorise(self.route, principal, self.started)
        self._go_on(principal)

    def _go_on(self, principal: Principal | None) -> None:
        self._is_admitted = True
        if principal is not None and b"authorization" not in self._headers.nominated:
            # On public routes no token goes on: nobody has looked whether its session has ended.
            self._headers.forwarded += (b"authorization: Bearer ", principal.token.encode(), b"\r\n")
        if self._headers.expects_continue and not self.body_complete and not self._body and not self._http_1_0:
            self._client.write(answer.CONTINUE)
        if self.body_complete or self._body_bytes >= _COLLECTED_BYTES:
            self._dispatch()

    # The request's body

    def body_received(self, data: bytes) -> None:
        """A part of the body has come."""
        if self.is_finished:
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._gateway.settings.max_body_bytes:
            self.input_failed(BodyTooLargeError())
        elif self._is_streaming:
            if self._connection is not None:
                self._connection.write(b"".join(chunk(data)) if self._headers.is_chunked else data)
        else:
            self._body.append(data)
            if self._body_bytes >= _COLLECTED_BYTES:
                self._client.hold_body()
                if self._is_admitted and not self._is_dispatched:
                    self._dispatch()

    def body_ended(self) -> None:
        """The body is complete."""
        self.body_complete = True
        if self.is_finished:
            return
        if self._is_streaming and self._connection is not None:
            if self._headers.is_chunked:
                self._connection.write(LAST_CHUNK)
            if not self.status:
                self.deadline = self._gateway.now() + self.route.timeout
        elif self._is_admitted and not self._is_dispatched:
            self._dispatch()

    def input_failed(self, error: ServiceError) -> None:
        """The rest of the request cannot be read, came too late or is too long."""
        self._error = error
        self._keep_alive = False
        if self._is_started:
            self.refuse(error)

    # The way to the service

    def _dispatch(self, *, fresh: bool = False) -> None:
        self._is_dispatched = True
        gateway = self._gateway
        if self.route.upstream == LOCAL:
            gateway.spawn(gateway.serve_local(self))
            return
        now = gateway.now()
        try:
            connection = gateway.pools[self.route.upstream].acquire(self, now, avoid=self._avoid, fresh=fresh)
        except ServiceError as error:
            self.refuse(error)
            return
        if connection is not None:
            self.connected(connection)
        elif not self.is_finished:
            self.deadline = now + gateway.settings.upstream_wait_seconds + gateway.settings.connect_seconds

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection to the service is there: send the request."""
        connection.begin(self, expects_body=self.method != b"HEAD")
        self._connection = connection
        self._attempts += 1
        if self._attempts == 1:
            self._gateway.pools[self.route.upstream].budget.deposit()
        connection.write(self._request(connection.endpoint))
        self.deadline = self._gateway.now() + self.route.timeout
        if not self.body_complete:
            self._is_streaming = True  # the service's time begins when it has everything
            self.deadline, self._body = inf, []
        self._client.release_body()

    def _request(self, endpoint: Endpoint) -> bytes:
        """The head, and as much of the body as there is."""
        headers = self._headers
        return b"".join(
            (
                self.method, b" ", self.target, b" HTTP/1.1\r\n", endpoint.host_line, *headers.forwarded,
                b"x-request-id: ", self.request_id.encode(), b"\r\nx-forwarded-for: ", self.address.encode(),
                b"\r\ntraceparent: ", self.traceparent.encode(), b"\r\n",
                *end_of_request(self.method, self._body, headers.content_length, complete=self.body_complete),
            )
        )  # fmt: skip

    def not_connected(self, endpoint: Endpoint) -> None:
        """An address could not be reached; nothing has been sent, so any method may try another."""
        pool = self._gateway.pools[self.route.upstream]
        now = self._gateway.now()
        self._refused += 1
        if pool.balancer.leave_out(endpoint, self._avoid) and self._refused < _MAX_TRIES:
            pool.retries += 1
            self._dispatch()
            return
        pool.breaker.failure(now)
        self.refuse(UpstreamUnavailableError())

    # What the service's connection says

    def upstream_writable(self, writable: bool) -> None:
        if self.is_finished or not self._is_streaming:
            return
        if writable:
            self.deadline = inf if not self.body_complete else self.deadline
            self._client.release_body()
        else:
            self._client.hold_body()
            self.deadline = self._gateway.now() + self._gateway.settings.upstream_stall_seconds

    def upstream_head(self, status: int, headers: ResponseHeaders) -> None:
        if self._connection is not None:
            self._connection.endpoint.answered()
        self._gateway.pools[self.route.upstream].breaker.success()
        if headers.has_rate_limit:
            self._extra_lines = b""
        if self._gateway.cors_origins:
            headers.lines += self._origin_lines()
        self._begin(status, headers.lines, headers.content_length, has_policy=headers.has_policy)
        self.deadline = self._gateway.now() + self._gateway.settings.upstream_stall_seconds
        if self._client.is_write_paused:
            self.client_writable(False)

    def upstream_body(self, data: bytes) -> None:
        self._add(data)

    def upstream_flush(self) -> None:
        """Everything that came at once goes on at once."""
        if self._flush() and not self._client.is_write_paused:
            self.deadline = self._gateway.now() + self._gateway.settings.upstream_stall_seconds

    def upstream_end(self) -> None:
        self._connection = None
        self._end()
        self._finish()

    def upstream_failed(self, failure: Failure) -> None:
        """The service broke off, or what it sent is no HTTP."""
        connection, self._connection = self._connection, None
        if self.is_finished:
            return
        pool = self._gateway.pools[self.route.upstream]
        now = self._gateway.now()
        if connection is not None and self._may_replay(connection, failure) and pool.budget.withdraw(now):
            pool.retries += 1
            pool.balancer.leave_out(connection.endpoint, self._avoid)
            self._dispatch(fresh=True)
            return
        pool.failed(connection, failure, now)
        self.refuse(BadGatewayError())

    def _may_replay(self, connection: UpstreamConnection, failure: Failure) -> bool:
        """Only when no byte of an answer has come and repeating is harmless; never a body already let go."""
        return (
            failure is Failure.BROKE_OFF
            and self._attempts < _MAX_TRIES
            and not connection.has_answered
            and not self._is_streaming
            and self.route.replayable
        )

    # Endings

    def refuse(self, error: ServiceError) -> None:
        """Answer with a problem; an answer that has begun already is broken off."""
        if self.is_finished:
            return
        self._let_go()
        if self.status:
            self._finish(complete=False)
            self._client.break_off()
            return
        if self._attempts and self.method not in _SAFE and isinstance(error, _NOTHING_DONE):
            error = BadGatewayError()  # an earlier try may have done it
        if not self.request_id:
            self.request_id = identifiers.request_id(None)
        status, lines, body = answer.problem(error, self.path.decode("latin-1"), self.request_id)
        if "RateLimit" in error.headers:
            self._extra_lines = b""
        self.respond(status, lines, body)

    def respond(self, status: int, lines: Sequence[bytes], body: bytes, *, has_policy: bool = False) -> None:
        """Answer with a complete body."""
        if self.is_finished:
            return
        self._write_whole(status, [*lines, *self._origin_lines()], body, has_policy=has_policy)
        self._finish()

    def _origin_lines(self) -> Sequence[bytes]:
        origins = self._gateway.cors_origins
        return cors.answer_lines(self._headers, origins) if origins else ()

    def _finish(self, *, complete: bool = True) -> None:
        self.is_finished = True
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
        if self.is_finished:
            return
        self._let_go()
        self.status = self.status or _CLIENT_LEFT
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
        if self.is_finished:
            return
        if (connection := self._connection) is None:
            self.refuse(UpstreamBusyError())
            return
        if not (self.status and self._client.is_write_paused):
            self._gateway.pools[self.route.upstream].failed(connection, Failure.TIMEOUT, now)
        self.refuse(GatewayTimeoutError())
