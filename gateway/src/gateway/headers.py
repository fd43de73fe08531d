"""Headers: what is read from a request, what goes on to a service, and what comes back to the client.

Requests go by an allow-list. Whatever claims to be an identity, an address or another method under any
spelling (`X-User-Id`, `X_User_Id`, `X-Forwarded-For`, `X-HTTP-Method-Override`) is simply not on it.
"""

import ipaddress
from collections.abc import Collection, Sequence

from chassis.errors import MalformedRequestError, UnsupportedMediaTypeError

Headers = Sequence[tuple[bytes, bytes]]
"""Name (lower case) and value of each header line, in their order."""

_REPEATABLE = frozenset({b"accept", b"accept-language", b"if-match", b"if-none-match", b"tracestate"})
_SINGLE = frozenset({b"content-type", b"idempotency-key", b"user-agent"})
_READ = frozenset(
    {
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"expect",
        b"host",
        b"origin",
        b"traceparent",
        b"transfer-encoding",
        b"upgrade",
        b"x-forwarded-for",
        b"x-request-id",
        b"access-control-request-method",
    }
)
_FORWARDED = _REPEATABLE | _SINGLE
# Whether a header that is looked at at all goes on as it came.
_GOES_ON = {name: name in _FORWARDED for name in _FORWARDED | _READ}
_NOT_TWICE = _SINGLE | {b"authorization", b"host", b"content-length", b"transfer-encoding", b"origin"}

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# What the gateway says itself, or nobody outside needs to know.
_OURS = frozenset(
    {
        b"content-length",
        b"date",
        b"server",
        b"traceparent",
        b"tracestate",
        b"via",
        b"x-powered-by",
        b"x-request-id",
        b"x-content-type-options",
        b"x-frame-options",
        b"referrer-policy",
        b"cross-origin-resource-policy",
    }
)
_NOT_RETURNED = _HOP_BY_HOP | _OURS

SECURITY = (
    b"x-content-type-options: nosniff\r\n"
    b"x-frame-options: DENY\r\n"
    b"referrer-policy: no-referrer\r\n"
    b"cross-origin-resource-policy: same-origin\r\n"
)
NOTHING_TO_RENDER = b"content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n"


class RequestHeaders:
    """What the gateway takes from a request's headers.

    `forwarded` are complete header lines for the service. Raises `MalformedRequestError` for headers that
    two readers could understand differently, and `UnsupportedMediaTypeError` for a compressed body.
    """

    __slots__ = ("content_length", "forwarded", "is_chunked", "nominated", "values")

    def __init__(self, headers: Headers, *, http_1_0: bool) -> None:
        values: dict[bytes, bytes] = {}
        forwarded: list[bytes] = []
        self.nominated: frozenset[bytes] = frozenset()
        for name, value in headers:
            goes_on = _GOES_ON.get(name)
            if goes_on is None:
                continue
            if name not in values:
                values[name] = value
            elif name in _NOT_TWICE:
                raise MalformedRequestError(f"The header '{name.decode()}' is given more than once. Send it once.")
            else:
                values[name] += b"," + value
            if goes_on:
                forwarded += (name, b": ", value, b"\r\n")
        self.values = values
        self.forwarded = forwarded
        if b"connection" in values and values[b"connection"].lower() not in (b"keep-alive", b"close"):
            self._drop_nominated(values[b"connection"])
        self.is_chunked = b"transfer-encoding" in values
        self.content_length = self._framing(http_1_0) if self.is_chunked or b"content-length" in values else None
        if b"host" not in values and not http_1_0:
            raise MalformedRequestError("The header 'host' is missing. Send it.")

    def _framing(self, http_1_0: bool) -> int | None:
        values = self.values
        length = values.get(b"content-length")
        if self.is_chunked and (http_1_0 or length is not None or values[b"transfer-encoding"].lower() != b"chunked"):
            raise MalformedRequestError(
                "The body is framed in a way that is not understood. Send either its 'Content-Length' or "
                "'Transfer-Encoding: chunked'."
            )
        if values.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaTypeError("The body has a content coding. Send it as application/json, uncompressed.")
        if length is None:
            return None
        if not length.isdigit() or len(length) > 18:
            raise MalformedRequestError("The content length is not a number. Send the body's length in bytes.")
        return int(length)

    def _drop_nominated(self, connection: bytes) -> None:
        # RFC 9110 7.6.1: what `Connection` names is meant for us and goes no further.
        self.nominated = frozenset(token.strip().lower() for token in connection.split(b","))
        self.withhold(self.nominated)

    def withhold(self, names: Collection[bytes]) -> None:
        """Let headers of these names go no further."""
        lines = [self.forwarded[i : i + 4] for i in range(0, len(self.forwarded), 4)]
        self.forwarded = [part for line in lines if line[0] not in names for part in line]

    def get(self, name: bytes) -> bytes | None:
        """The value of a header that the gateway reads; of a repeated one all, joined by commas."""
        return self.values.get(name)

    @property
    def has_body(self) -> bool:
        return self.is_chunked or bool(self.content_length)

    @property
    def expects_continue(self) -> bool:
        return self.values.get(b"expect", b"").lower() == b"100-continue"


class ResponseHeaders:
    """What goes back to the client of a service's headers, as parts of header lines."""

    __slots__ = ("content_length", "has_policy", "has_rate_limit", "is_chunked", "lines", "says_close")

    def __init__(self, headers: Headers) -> None:
        self.lines: list[bytes] = []
        self.content_length: bytes | None = None
        self.is_chunked = False
        self.says_close = False
        self.has_policy = False
        self.has_rate_limit = False
        lines = self.lines
        nominated: frozenset[bytes] = frozenset()
        for written, value in headers:
            name = written.lower()
            if name not in _NOT_RETURNED:
                lines += (name, b": ", value, b"\r\n")
                if name == b"ratelimit":
                    self.has_rate_limit = True
                elif name == b"content-security-policy":
                    self.has_policy = True
            elif name == b"content-length":
                self.content_length = value
            elif name == b"transfer-encoding":
                self.is_chunked = True
            elif name == b"connection" and value.lower() != b"keep-alive":
                nominated |= {token.strip().lower() for token in value.split(b",")}
        if nominated:
            self.says_close = b"close" in nominated
            kept = [lines[i : i + 4] for i in range(0, len(lines), 4)]
            self.lines = [part for line in kept if line[0] not in nominated for part in line]


class TrustedProxies:
    """Decides whose word on the client's address counts."""

    def __init__(self, networks: str) -> None:
        self._networks = [
            ipaddress.ip_network(part.strip(), strict=False) for part in networks.split(",") if part.strip()
        ]

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def client_address(self, peer: str, forwarded_for: bytes | None) -> str:
        """The address of the client: the last one in `X-Forwarded-For` that none of our proxies has, or the peer."""
        if not self._networks or forwarded_for is None or not self._trusts(peer):
            return peer
        for candidate in reversed(forwarded_for.decode("latin-1").split(",")):
            address = candidate.strip()
            try:
                ipaddress.ip_address(address)
            except ValueError:
                return peer
            if not self._trusts(address):
                return address
            peer = address
        return peer
