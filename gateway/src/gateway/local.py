"""Runs the ASGI application that has the gateway's own pages for an exchange."""

import logging
from collections.abc import Sequence
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope

from chassis.errors import NotFoundError, ServiceError
from gateway.headers import Headers, ResponseHeaders

_log = logging.getLogger(__name__)

# What the pages read of a request.
_HEADERS = frozenset({b"accept", b"if-none-match"})


class Asking(Protocol):
    """The exchange that a page is for."""

    method: bytes
    target: bytes
    path: bytes
    raw_headers: Headers

    def refuse(self, error: ServiceError) -> None: ...
    def respond(self, status: int, lines: Sequence[bytes], body: bytes, *, has_policy: bool = False) -> None: ...


def _scope(exchange: Asking) -> Scope:
    """The request as an ASGI scope. HEAD is asked as GET; the body is left away when it is answered."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET" if exchange.method == b"HEAD" else exchange.method.decode(),
        "scheme": "http",
        "path": exchange.path.decode(),
        "raw_path": exchange.path,
        "root_path": "",
        "query_string": exchange.target.partition(b"?")[2],
        "headers": [(name, value) for name, value in exchange.raw_headers if name in _HEADERS],
        "client": None,
        "server": None,
    }


async def serve(app: ASGIApp, exchange: Asking) -> None:
    """Answer `exchange` with what `app` answers. Pages are small and complete, so they are collected first."""
    status = 500
    headers: list[tuple[bytes, bytes]] = []
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
        else:
            body.extend(message.get("body", b""))

    try:
        await app(_scope(exchange), receive, send)
    except ServiceError as error:
        exchange.refuse(error)
        return
    except Exception:  # noqa: BLE001 - the one error path
        _log.exception("page failed")
        exchange.refuse(ServiceError())
        return
    if status == 404:
        exchange.refuse(NotFoundError())
        return
    kept = ResponseHeaders(headers)
    exchange.respond(status, kept.lines, bytes(body), has_policy=kept.has_policy)
