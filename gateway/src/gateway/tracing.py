"""Exchanges whose spans are recorded; the gateway only has these when it is told where to send them."""

from chassis import tracing
from gateway.exchange import Exchange
from gateway.headers import RequestHeaders
from gateway.routing import UNMATCHED
from gateway.upstream.connection import Failure, UpstreamConnection


class TracedExchange(Exchange):
    """One span for the client's request, and below it one for each attempt at a service, which is told of that one."""

    __slots__ = ("_attempt", "_span")

    _span: tracing.Span | None
    _attempt: tracing.Span | None

    def _continue_trace(self, headers: RequestHeaders) -> str:
        offered = headers.get(b"traceparent")
        attributes = {"url.path": self.path.decode("latin-1"), "url.scheme": "http", "client.address": self.address}
        self._attempt = None
        self._span = self._start(tracing.Kind.SERVER, offered.decode("latin-1") if offered else None, attributes)
        return self._span.traceparent

    def _start(self, kind: tracing.Kind, parent: str | None, attributes: tracing.Attributes) -> tracing.Span:
        method = self.method.decode("latin-1")
        return tracing.start(kind, method, parent, {"http.request.method": method, **attributes})

    def connected(self, connection: UpstreamConnection) -> None:
        self._end_attempt("unusable")
        if self._span is not None:
            endpoint = connection.endpoint
            attributes: tracing.Attributes = {
                "server.address": self.route.upstream,
                "network.peer.address": endpoint.host,
                "network.peer.port": endpoint.port,
            }
            self._attempt = self._start(tracing.Kind.CLIENT, self._span.traceparent, attributes)
            self.traceparent = self._attempt.traceparent
        super().connected(connection)

    def upstream_end(self) -> None:
        self._end_attempt(None)
        super().upstream_end()

    def upstream_failed(self, failure: Failure) -> None:
        self._end_attempt(failure.value)
        super().upstream_failed(failure)

    def _end_attempt(self, error: str | None) -> None:
        attempt, self._attempt = getattr(self, "_attempt", None), None
        if attempt is None:
            return
        if self.status:
            attempt.describe({"http.response.status_code": self.status})
        attempt.end(str(self.status) if error is None and self.status >= 500 else error)

    def _finish(self, *, complete: bool = True) -> None:
        self._end_attempt("given up")
        # A request that could not be read has none.
        span: tracing.Span | None = getattr(self, "_span", None)
        if span is not None:
            span.describe({"http.response.status_code": self.status})
            if self.route is not UNMATCHED:
                template = self.route.template
                span.describe({"http.route": template}, f"{self.method.decode('latin-1')} {template}")
            span.end(str(self.status) if self.status >= 500 else None)
        super()._finish(complete=complete)
