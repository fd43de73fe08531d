"""Which route a request line means: paths are matched as they came, exactly and case-sensitively.

Nothing is decoded, collapsed or redirected. The path that was authorised and the path that is forwarded are
the same bytes, so no reading of them by a service can lead anywhere else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote_to_bytes

from chassis.errors import MalformedRequestError, MethodNotAllowedError, NotFoundError

LOCAL = "gateway"
"""The upstream name of routes that the gateway answers itself."""

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_TEMPLATE = re.compile(r"/|(?:/(?:[a-z0-9._-]+|\{[a-zA-Z]+\}))+")
# RFC 3986 `pchar` without percent-encodings and without a leading dot: nearly every path, decided by one match.
_PLAIN = re.compile(rb"/|(?:/[A-Za-z0-9_~@:+,=!$&'()*;-][A-Za-z0-9._~@:+,=!$&'()*;-]*)+")
_SEGMENTS = re.compile(rb"(?:/(?:[A-Za-z0-9._~@:+,=!$&'()*;-]|%[0-9A-Fa-f]{2})*)+")
_FORBIDDEN = re.compile(rb"[\x00-\x1f\x7f/\\]")
_ENCODED_UNRESERVED = re.compile(rb"%(?:2[DdEe]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9AaEe])")


class Access(Enum):
    """Who may call a route."""

    PUBLIC = "public"
    USER = "user"
    ADMIN = "admin"


class RateClass(Enum):
    """Which rate limit a route counts against besides the general ones."""

    GENERAL = "general"
    CREDENTIALS = "credentials"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    `timeout` is how long the upstream may take to begin its answer, in seconds. `replayable` says that the
    request may be sent a second time when the upstream's connection broke before any byte of an answer.
    """

    method: str
    template: str
    upstream: str
    access: Access
    timeout: float = 10.0
    replayable: bool = False
    rate_class: RateClass = RateClass.GENERAL


UNMATCHED = Route("OTHER", "unmatched", LOCAL, Access.PUBLIC)
"""Stands for what is no route. A client may send any word as a method, so none is told apart."""


class InvalidRouteTableError(ValueError):
    """The route table contradicts itself or names something unknown."""


@dataclass(slots=True)
class Resource:
    """One path template and its methods; HEAD is wherever GET is."""

    template: str
    methods: dict[bytes, Route] = field(default_factory=dict)
    allow: str = ""


@dataclass(slots=True)
class _Node:
    literals: dict[bytes, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    resource: Resource | None = None


def check_path(path: bytes) -> None:
    """Raise `MalformedRequestError` for a path that two readers could understand differently.

    That is: characters outside RFC 3986, bad percent-encodings, empty segments inside, `.` and `..` segments,
    and encoded slashes, backslashes, control characters or bytes that are no UTF-8.
    """
    if _PLAIN.fullmatch(path):
        return
    if not _SEGMENTS.fullmatch(path):
        raise MalformedRequestError(
            "The path holds characters or percent-encodings that no address may have. Check it against /docs."
        )
    for position, segment in enumerate(segments := path.split(b"/")[1:]):
        if not segment and position < len(segments) - 1:
            raise MalformedRequestError("The path has an empty segment. Check it against /docs.")
        decoded = unquote_to_bytes(segment)
        if _FORBIDDEN.search(decoded):
            raise MalformedRequestError(
                "The path holds an encoded slash, backslash or control character. Send it without."
            )
        # Some servers cut `;parameters` off before they resolve dots.
        if decoded.split(b";")[0] in (b".", b".."):
            raise MalformedRequestError("The path has a '.' or '..' segment. Send it resolved.")
        try:
            decoded.decode()
        except UnicodeDecodeError:
            raise MalformedRequestError("The path is not percent-encoded UTF-8. Send it so encoded.") from None


class RouteTable:
    """The routes, checked and arranged for look-up. What is not in it does not exist."""

    def __init__(self, routes: Sequence[Route], upstreams: frozenset[str]) -> None:
        """Raises `InvalidRouteTableError`."""
        self.routes = tuple(routes)
        self._root = _Node()
        self._resources: dict[str, Resource] = {}
        for route in routes:
            self._add(route, upstreams)
        for resource in self._resources.values():
            if (get := resource.methods.get(b"GET")) is not None:
                resource.methods[b"HEAD"] = get
            resource.allow = ", ".join(sorted(method.decode() for method in resource.methods))

    def _add(self, route: Route, upstreams: frozenset[str]) -> None:
        name = f"{route.method} {route.template}"
        if route.method not in _METHODS:
            raise InvalidRouteTableError(f"{name}: unknown method")
        if not _TEMPLATE.fullmatch(route.template) or "/internal" in route.template:
            raise InvalidRouteTableError(f"{name}: not a template that may be published")
        if route.access not in set(Access) or route.rate_class not in set(RateClass):
            raise InvalidRouteTableError(f"{name}: says not who may call it")
        if route.upstream != LOCAL and route.upstream not in upstreams:
            raise InvalidRouteTableError(f"{name}: unknown upstream '{route.upstream}'")
        if not 0 < route.timeout <= 300 or (route.replayable and route.method in ("POST", "PATCH")):
            raise InvalidRouteTableError(f"{name}: unusable time-out or replay")
        resource = self._place(route.template)
        if route.method.encode() in resource.methods:
            raise InvalidRouteTableError(f"{name}: twice")
        resource.methods[route.method.encode()] = route

    def _place(self, template: str) -> Resource:
        if template in self._resources:
            return self._resources[template]
        node = self._root
        for segment in template.encode().split(b"/")[1:]:
            if segment.startswith(b"{"):
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        if node.resource is not None:
            raise InvalidRouteTableError(f"{template}: the same paths as {node.resource.template}")
        node.resource = self._resources[template] = Resource(template)
        return node.resource

    def resources(self) -> Mapping[str, Resource]:
        """Every resource by its template."""
        return self._resources

    def find(self, path: bytes) -> Resource:
        """The resource at `path`. Raises `MalformedRequestError` or `NotFoundError`.

        A literal segment goes before a parameter, without a way back.
        """
        check_path(path)
        node = self._root
        for segment in path[1:].split(b"/"):
            if (following := node.literals.get(segment)) is not None:
                node = following
            elif node.parameter is not None and segment:
                # `%6de` is not `me`: an encoding that could have been left out makes another path.
                if b"%" in segment and _ENCODED_UNRESERVED.search(segment):
                    raise NotFoundError
                node = node.parameter
            else:
                raise NotFoundError
        if node.resource is None:
            raise NotFoundError
        return node.resource

    @staticmethod
    def route_of(resource: Resource, method: bytes) -> Route:
        """The route for `method`. Raises `MethodNotAllowedError` with `Allow`."""
        route = resource.methods.get(method)
        if route is None:
            raise MethodNotAllowedError(headers={"Allow": resource.allow})
        return route
