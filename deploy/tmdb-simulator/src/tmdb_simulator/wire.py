"""From a JSON value to bytes and headers, as TMDB's edge sends them."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tmdb_simulator.errors import INVALID_KEY, ErrorKind

_JSON = "application/json; charset=utf-8"
_COMMON = {"Server": "openresty", "Vary": "Accept-Encoding, Origin"}


class Body:
    """An encoded JSON body; gzip is only computed for a client that takes it."""

    def __init__(self, payload: Any, max_age: int) -> None:
        self.raw = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        self.max_age = max_age
        # TMDB's own rule: verified on every recorded answer that has an ETag.
        self.etag = f'W/"{hashlib.sha256(self.raw).hexdigest()[:32]}"'

    @cached_property
    def gzipped(self) -> bytes:
        """The body as a gzip stream; without a time in it, so that equal bodies stay equal."""
        return gzip.compress(self.raw, compresslevel=1, mtime=0)

    def headers(self) -> dict[str, str]:
        """The headers of a 200 or 304 with this body."""
        return {**_COMMON, "Cache-Control": f"public, max-age={self.max_age}", "ETag": self.etag}


def respond(content: bytes, status: int, headers: dict[str, str], media_type: str) -> Response:
    """A response without Content-Length: TMDB sends every body chunked."""
    response = Response(content, status, headers, media_type)
    del response.headers["Content-Length"]
    return response


def respond_body(request: Request, body: Body) -> Response:
    """200 with the body, gzipped if the client takes it, or 304 if the client has it."""
    if _is_known(request.headers.get("If-None-Match", ""), body.etag):
        return Response(status_code=304, headers=body.headers())
    if _takes_gzip(request.headers.get("Accept-Encoding", "")):
        headers = {**body.headers(), "Content-Encoding": "gzip"}
        return respond(body.gzipped, 200, headers, _JSON)
    return respond(body.raw, 200, body.headers(), _JSON)


def respond_bytes(body: Body, content: bytes) -> Response:
    """200 with the headers of a body and other bytes in its place."""
    return respond(content, 200, body.headers(), _JSON)


def respond_error(kind: ErrorKind, headers: dict[str, str] | None = None) -> Response:
    """One of TMDB's errors; they carry neither ETag nor, save for 401, Cache-Control."""
    private = {"Cache-Control": "max-age=0, private"} if kind is INVALID_KEY else {}
    content = json.dumps(kind.body(), ensure_ascii=False, separators=(",", ":")).encode()
    return respond(content, kind.status, {**_COMMON, **private, **(headers or {})}, _JSON)


def respond_html(status: int) -> Response:
    """The page an edge server shows when it cannot reach what is behind it."""
    title = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable"}.get(status, f"{status}")
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>openresty</center>\r\n"
        "</body>\r\n</html>\r\n"
    )
    return respond(page.encode(), status, {"Server": "openresty"}, "text/html")


def _is_known(if_none_match: str, etag: str) -> bool:
    """Weak comparison (RFC 9110, section 8.8.3.2)."""
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known


def _takes_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        coding, _, parameter = part.partition(";")
        if coding.strip() == "gzip":
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
