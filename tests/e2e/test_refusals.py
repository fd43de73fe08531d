"""Bad input, wrong roles and strangers on every path of the contract: each gets its problem, nothing changes."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from suite_client import Person, assert_problem, register

UNKNOWN = "01900000-0000-7000-8000-000000000000"
MakePackage = Callable[..., dict[str, Any]]

PUBLIC = [
    ("POST", "/v1/users"),
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/password/forgot"),
    ("POST", "/v1/auth/password/reset"),
]
USER = [
    ("POST", "/v1/auth/logout"),
    ("GET", "/v1/auth/sessions"),
    ("DELETE", "/v1/auth/sessions"),
    ("DELETE", f"/v1/auth/sessions/{UNKNOWN}"),
    ("GET", "/v1/users/me"),
    ("PATCH", "/v1/users/me"),
    ("DELETE", "/v1/users/me"),
    ("GET", "/v1/users/me/export"),
    ("PUT", "/v1/users/me/password"),
    ("GET", f"/v1/users/{UNKNOWN}"),
    ("GET", "/v1/packages"),
    ("GET", f"/v1/packages/{UNKNOWN}"),
    ("GET", f"/v1/packages/{UNKNOWN}/versions"),
    ("GET", f"/v1/packages/{UNKNOWN}/versions/1"),
    ("POST", "/v1/subscriptions"),
    ("GET", "/v1/subscriptions"),
    ("GET", f"/v1/subscriptions/{UNKNOWN}"),
    ("POST", f"/v1/subscriptions/{UNKNOWN}/upgrade"),
    ("DELETE", f"/v1/subscriptions/{UNKNOWN}"),
    ("GET", "/v1/entitlements/me"),
    ("GET", "/v1/genres"),
    ("GET", "/v1/genres/28"),
    ("GET", "/v1/movies"),
    ("GET", "/v1/movies/603"),
    ("PUT", "/v1/watched/603"),
    ("DELETE", "/v1/watched/603"),
    ("GET", "/v1/watched"),
    ("GET", "/v1/watched/603"),
    ("GET", "/v1/reports/me"),
    ("GET", f"/v1/reports/users/{UNKNOWN}"),
]
ADMIN = [
    ("GET", "/v1/users"),
    ("POST", "/v1/packages"),
    ("PATCH", f"/v1/packages/{UNKNOWN}"),
    ("DELETE", f"/v1/packages/{UNKNOWN}"),
    ("POST", f"/v1/packages/{UNKNOWN}/restore"),
    ("POST", f"/v1/packages/{UNKNOWN}/subscriptions"),
    ("GET", "/v1/sync"),
    ("POST", "/v1/sync"),
    ("GET", "/v1/reports/users"),
]
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/users", {"email": "x@example.com", "password": "a long enough password", "name": "X"}),
    ("POST", "/v1/auth/login", {"email": "x@example.com", "password": "a long enough password"}),
    ("POST", "/v1/auth/refresh", {"refreshToken": "rt_x"}),
    ("POST", "/v1/auth/password/forgot", {"email": "x@example.com"}),
    ("POST", "/v1/auth/password/reset", {"token": "x", "newPassword": "a long enough password"}),
    ("PATCH", "/v1/users/me", {"name": "X"}),
    ("PUT", "/v1/users/me/password", {"currentPassword": "x", "newPassword": "a long enough password"}),
    ("POST", "/v1/packages", {"name": "X", "genreIds": [28]}),
    ("POST", f"/v1/packages/{UNKNOWN}/subscriptions", {"userIds": [UNKNOWN]}),
    ("POST", "/v1/subscriptions", {"packageId": UNKNOWN}),
    ("PUT", "/v1/watched/603", {"watchedAt": "2026-01-01T00:00:00Z"}),
]


@pytest.fixture(scope="module")
def user(http: httpx.Client) -> Person:
    return register(http)


def has_wrong_type(value: Any) -> Any:
    """A value of another JSON type."""
    return 7 if isinstance(value, str | list) else "text"


@pytest.mark.parametrize(("method", "path"), USER + ADMIN)
def test_without_a_token_the_answer_is_401(http: httpx.Client, method: str, path: str) -> None:
    assert_problem(http.request(method, path), 401, "unauthenticated")


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic dTpw", "Bearer", "Bearer a.b.c"])
def test_a_token_that_is_none_is_401(http: httpx.Client, header: str) -> None:
    assert_problem(http.get("/v1/genres", headers={"Authorization": header}), 401)


@pytest.mark.parametrize(("method", "path"), ADMIN)
def test_a_plain_user_is_refused_what_is_for_administrators(user: Person, method: str, path: str) -> None:
    assert_problem(user.request(method, path), 403, "forbidden")


def send(person: Person, method: str, path: str, content: str | bytes, content_type: str = "application/json") -> Any:
    return person.request(method, path, content=content, headers={"content-type": content_type})


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_a_body_that_is_no_json_is_400(admin: Person, method: str, path: str, body: dict[str, Any]) -> None:
    for content in ("{", '{"a": NaN}', b"\xff"):
        assert_problem(send(admin, method, path, content), 400)


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_another_media_type_is_415(admin: Person, method: str, path: str, body: dict[str, Any]) -> None:
    assert_problem(send(admin, method, path, "a=b", "application/x-www-form-urlencoded"), 415)


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_unknown_repeated_and_mistyped_members_are_422(
    admin: Person, method: str, path: str, body: dict[str, Any]
) -> None:
    name, value = next(iter(body.items()))
    assert_problem(admin.request(method, path, json={**body, "unknownMember": 1}), 422)
    assert_problem(send(admin, method, path, f'{{"{name}": 1, "{name}": 2}}'), 422)
    assert_problem(send(admin, method, path, f'{{"{name}": "\\ud800"}}'), 422)
    assert_problem(admin.request(method, path, json={**body, name: has_wrong_type(value)}), 422)
    assert_problem(admin.request(method, path, json=[]), 422)


LISTS = [
    "/v1/auth/sessions",
    "/v1/users",
    "/v1/packages",
    "/v1/subscriptions",
    "/v1/genres",
    "/v1/movies",
    "/v1/watched",
    "/v1/reports/users",
]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query", ["pageNumber=0", "pageSize=0", "pageSize=101", "pageNumber=x", "pageNumber=1&pageNumber=2", "unknown=1"]
)
def test_bad_list_parameters_are_422(admin: Person, path: str, query: str) -> None:
    document = assert_problem(admin.get(f"{path}?{query}"), 422)
    assert document["errors"][0]["pointer"] == query.split("=", maxsplit=1)[0]


@pytest.mark.parametrize("path", LISTS)
def test_every_list_has_the_envelope_and_survives_a_page_past_the_end(admin: Person, path: str) -> None:
    for number in (1, 99999):
        answer = admin.get(f"{path}?pageNumber={number}")
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert set(body) == {"data", "pagination"}
        assert set(body["pagination"]) == {"pageNumber", "pageSize", "totalPages", "lastPage", "firstPage"}
        assert "first" in answer.links
    assert body["data"] == []
    assert body["pagination"]["lastPage"] is True


@pytest.mark.parametrize("path", ["/v1/packages", "/v1/subscriptions", "/v1/genres", "/v1/movies", "/v1/watched"])
def test_an_unknown_sort_is_422(admin: Person, path: str) -> None:
    assert_problem(admin.get(f"{path}?sort=colour"), 422)


def test_somebody_elses_things_are_not_there(someone: Person, someone_else: Person, make_package: MakePackage) -> None:
    subscription = someone.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]}).json()
    path = f"/v1/subscriptions/{subscription['id']}"
    assert_problem(someone_else.get(path), 404)
    assert_problem(someone_else.delete(path), 404)
    assert_problem(someone_else.post(f"{path}/upgrade"), 404)
    assert_problem(someone_else.get(f"/v1/users/{someone.id}"), 403, "forbidden")
    assert_problem(someone_else.get(f"/v1/users/{UNKNOWN}"), 403, "forbidden")
    assert_problem(someone_else.get(f"/v1/reports/users/{someone.id}"), 403, "forbidden")
    assert someone.get(path).json()["status"] == "active"


def test_nobody_makes_himself_an_administrator(someone: Person) -> None:
    for body in ({"role": "admin"}, {"status": "active"}, {"id": UNKNOWN}):
        assert someone.patch("/v1/users/me", body).status_code in (403, 422)
        assert_problem(
            someone.http.post(
                "/v1/users",
                json={"email": "y@example.com", "password": "a long enough password", "name": "Y", **body},
            ),
            422,
        )
    assert someone.get("/v1/users/me").json()["role"] == "user"


@pytest.mark.parametrize(
    "path",
    [
        "/internal/v1/revocations",
        "/internal/v1/entitlements/digest",
        "/v1/../internal/v1/revocations",
        "/metrics",
        "/redoc",
        "/v1",
        "/v1/users/",
        "/V1/genres",
        "/v1/genres/",
    ],
)
def test_nothing_inside_is_reachable(admin: Person, path: str) -> None:
    assert admin.get(path).status_code in (400, 404)


def test_methods_that_a_path_does_not_have_are_405(admin: Person) -> None:
    answer = admin.request("DELETE", "/v1/genres")
    assert_problem(answer, 405)
    assert "GET" in answer.headers["allow"]
