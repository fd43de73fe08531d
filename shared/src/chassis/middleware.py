"""What happens around every request of a service: ids, HEAD, the last-resort error answer, access log, metrics."""

import logging
import time
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import context, tracing
from chassis.errors import ServiceError
from chassis.metrics import HttpMetrics
from chassis.problems import problem_response

_access = logging.getLogger("access")
_log = logging.getLogger(__name__)

_OPERATIONS = ("/livez", "/readyz", "/metrics")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _span(method: str, path: str, offered: str | None) -> tracing.Span:
    if path in _OPERATIONS or not tracing.is_recording():
        return tracing.Span(context.continue_trace(offered))
    attributes = {"http.request.method": method, "url.path": path, "url.scheme": "http"}
    return tracing.start(tracing.Kind.SERVER, method, offered, attributes)


class RequestMiddleware:
    """Pure ASGI, because BaseHTTPMiddleware runs the application in a task that a leaving client cancels."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        rid = context.accept_request_id(headers.get("x-request-id"))
        context.request_id.set(rid)
        method = scope["method"]
        span = _span(method, scope["path"], headers.get("traceparent"))
        context.traceparent.set(span.traceparent)
        # FastAPI has no HEAD of its own; the server drops the body because its own scope still says HEAD.
        scope = dict(scope, method="GET") if method == "HEAD" else scope
        status = 500
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started = True
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = rid
            await send(message)

        begin = time.perf_counter()
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            _log.exception("unhandled error")
            if started:
                raise
            scope["problem"] = ServiceError()
            await problem_response(scope["problem"], Request(scope))(scope, receive, send_with_id)
        finally:
            self._record(method, scope, status, time.perf_counter() - begin, span)

    def _record(self, method: str, scope: Scope, status: int, seconds: float, span: tracing.Span) -> None:
        route: Any = scope.get("route")
        template = getattr(route, "path", "unmatched")
        # A client may send any word as a method; each would be a new time series.
        self._metrics.observe(method if method in _METHODS else "OTHER", template, status, seconds)
        if template in _OPERATIONS:
            return
        if (problem := scope.get("problem")) is not None:
            self._metrics.refuse(template, problem)
        if tracing.is_recording():
            span.describe({"http.route": template, "http.response.status_code": status}, f"{method} {template}")
            span.end(str(status) if status >= 500 else None)
        _access.info(
            "request",
            extra={"method": method, "route": template, "status": status, "milliseconds": round(seconds * 1000, 1)},
        )
