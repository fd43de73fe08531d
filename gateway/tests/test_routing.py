"""Paths are matched as they came; what two readers could understand differently is refused."""

import re
from pathlib import Path

import pytest

from chassis.errors import MalformedRequestError, MethodNotAllowedError, NotFoundError
from gateway.routes import ROUTES
from gateway.routing import Access, InvalidRouteTableError, Route, RouteTable

UPSTREAMS = frozenset({"identity", "subscription", "catalog", "watch"})
UUID = "0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"


@pytest.fixture
def table() -> RouteTable:
    return RouteTable(ROUTES, UPSTREAMS)


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/v1/users/me", "/v1/users/me"),
        (f"/v1/users/{UUID}", "/v1/users/{id}"),
        ("/v1/users/me/export", "/v1/users/me/export"),
        ("/v1/users/me/password", "/v1/users/me/password"),
        ("/v1/users/m%20e", "/v1/users/{id}"),
        (f"/v1/packages/{UUID}/versions/3", "/v1/packages/{id}/versions/{n}"),
        ("/v1/reports/users", "/v1/reports/users"),
        (f"/v1/reports/users/{UUID}", "/v1/reports/users/{userId}"),
        ("/.well-known/jwks.json", "/.well-known/jwks.json"),
        ("/docs/swagger-ui.css", "/docs/{asset}"),
    ],
)
def test_a_path_finds_its_resource(table: RouteTable, path: str, template: str) -> None:
    assert table.find(path.encode()).template == template


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/users/",
        "/v1/movies/",
        "/V1/users/me",
        "/v1/Users/me",
        "/v1/users/me/",
        "/v1/users/%6de",
        "/v1/%6dovies",
        "/v1/movies/%36",
        "/v1/reports/%75sers",
        "/internal/v1/revocations",
        "/v1/internal",
        "/metrics",
        "/v1/users/me/password/x",
        "/docs/",
    ],
)
def test_another_path_is_not_found(table: RouteTable, path: str) -> None:
    with pytest.raises(NotFoundError):
        table.find(path.encode())


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "/v1//users",
        "//v1/users",
        "/v1/users//",
        "/v1/./users",
        "/v1/../users",
        "/v1/users/..",
        "/v1/users/.",
        "/v1/movies/%2e%2e/%2e%2e/users",
        "/v1/movies/%2E",
        "/v1/movies/.%2e",
        "/v1/movies/..;a=b/users",
        "/v1/movies/a%2fb",
        "/v1/movies/a%2Fb",
        "/v1/movies/a%5cb",
        "/v1/movies/a%5Cb",
        "/v1/movies/a%00",
        "/v1/movies/a%0d%0aX-Evil:1",
        "/v1/movies/%7f",
        "/v1/movies/%",
        "/v1/movies/%2",
        "/v1/movies/%zz",
        "/v1/movies/%c0%ae%c0%ae",
        "/v1/movies/%ff",
        "/v1/movies/a\\b",
        "/v1/movies/<script>",
        '/v1/movies/"',
        "/v1/movies/{id}",
        "/v1/movies/a|b",
        "/v1/movies/a^b",
        "v1/movies",
        "*",
        "",
    ],
)
def test_an_ambiguous_path_is_malformed(table: RouteTable, path: str) -> None:
    with pytest.raises(MalformedRequestError):
        table.find(path.encode("latin-1"))


def test_an_unknown_method_names_the_known_ones(table: RouteTable) -> None:
    resource = table.find(b"/v1/packages/x")
    with pytest.raises(MethodNotAllowedError) as caught:
        table.route_of(resource, b"POST")
    assert caught.value.headers == {"Allow": "DELETE, GET, HEAD, PATCH"}


def test_head_is_wherever_get_is(table: RouteTable) -> None:
    assert table.route_of(table.find(b"/v1/movies"), b"HEAD").method == "GET"


def test_every_route_says_who_may_call_it() -> None:
    public = {(route.method, route.template) for route in ROUTES if route.access is Access.PUBLIC}
    assert public == {
        ("GET", "/"),
        ("GET", "/.well-known/jwks.json"),
        ("GET", "/docs"),
        ("GET", "/docs/problems"),
        ("GET", "/docs/{asset}"),
        ("GET", "/livez"),
        ("GET", "/openapi.json"),
        ("GET", "/readyz"),
        ("GET", "/reset-password"),
        ("GET", "/web/{asset}"),
        ("POST", "/v1/auth/login"),
        ("POST", "/v1/auth/password/forgot"),
        ("POST", "/v1/auth/password/reset"),
        ("POST", "/v1/auth/refresh"),
        ("POST", "/v1/users"),
    }


def test_nothing_internal_and_no_health_of_a_service_is_in_the_table() -> None:
    forwarded = {route.template for route in ROUTES if route.upstream in UPSTREAMS}
    assert not {t for t in forwarded if re.search(r"internal|metrics|livez|readyz|docs|openapi", t)}


@pytest.mark.parametrize(
    "routes",
    [
        [Route("GET", "/v1/a", "nowhere", Access.USER)],
        [Route("FETCH", "/v1/a", "watch", Access.USER)],
        [Route("GET", "/v1/internal/a", "watch", Access.USER)],
        [Route("GET", "/v1/a/", "watch", Access.USER)],
        [Route("GET", "/v1/a", "watch", "anyone")],  # type: ignore[arg-type]
        [Route("GET", "/v1/a", "watch", Access.USER, timeout=0)],
        [Route("POST", "/v1/a", "watch", Access.USER, replayable=True)],
        [Route("GET", "/v1/a", "watch", Access.USER), Route("GET", "/v1/a", "watch", Access.ADMIN)],
        [Route("GET", "/v1/{a}", "watch", Access.USER), Route("GET", "/v1/{b}", "watch", Access.ADMIN)],
    ],
)
def test_a_table_that_contradicts_itself_is_refused(routes: list[Route]) -> None:
    with pytest.raises(InvalidRouteTableError):
        RouteTable(routes, UPSTREAMS)


def test_the_data_module_is_short_enough_to_be_read() -> None:
    assert len(Path(__file__).parents[1].joinpath("src/gateway/routes.py").read_text().splitlines()) < 150
