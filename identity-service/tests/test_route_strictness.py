"""What every route has in common: who may call it, and what bodies, queries and paths it takes."""

import json
import re
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from chassis.errors import FieldError
from chassis.testing.http import assert_problem

PUBLIC = {
    ("POST", "/v1/users"), ("POST", "/v1/auth/login"), ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/password/forgot"), ("POST", "/v1/auth/password/reset"), ("GET", "/.well-known/jwks.json"),
}  # fmt: skip
OPERATIONS = {"/livez", "/readyz", "/metrics", "/openapi.json"}


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


async def test_every_route_but_the_public_ones_asks_for_a_token(api: httpx.AsyncClient, make_settings: Any) -> None:
    from identity.main import build_app

    checked = set()
    for route in _routes(build_app(make_settings()).routes):
        for method in (route.methods or set()) - {"HEAD"}:
            if route.path in OPERATIONS or (method, route.path) in PUBLIC:
                continue
            path = re.sub(r"\{\w+\}", "0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11", route.path)
            takes_body = method in ("POST", "PUT", "PATCH") and route.body_field is not None
            answer = await api.request(method, path, json={} if takes_body else None)
            assert_problem(answer, 401, "unauthenticated")
            checked.add((method, route.path))
    assert len(checked) == 15, checked


def _routes(routes: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in routes:
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "router", None)
            found.extend(_routes(getattr(inner, "routes", [])))
    return found


async def test_the_document_says_what_every_route_can_answer(api: httpx.AsyncClient) -> None:
    from openapi_spec_validator import validate

    document = (await api.get("/openapi.json")).json()
    validate(document)
    listed = operations(document)
    assert len({operation["operationId"] for *_, operation in listed}) == len(listed)
    for method, path, operation in listed:
        assert operation["tags"][0] in ("users", "sessions")
        assert operation["summary"]
        statuses = set(operation["responses"])
        assert {"422", "503"} <= statuses, (method, path)
        assert ("401" in statuses) == ((method, path) not in PUBLIC or path in ("/v1/auth/login", "/v1/auth/refresh"))
        assert ("415" in statuses) == ("requestBody" in operation), (method, path)
        for status, answer in operation["responses"].items():
            if int(status) >= 400:
                assert "application/problem+json" in answer["content"], (method, path, status)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"email": "a@example.com", "password": NaN}', 400, "malformed-json"),
        (b'{"email": "a@example.com", "password": Infinity}', 400, "malformed-json"),
        (b'{"email": "a@example.com"', 400, "malformed-json"),
        (b"", 400, "malformed-json"),
        (b"\xff\xfe{\x00}\x00", 400, "malformed-json"),
        ('{"email": "a@example.com", "password": "x"}'.encode("utf-16"), 400, "malformed-json"),
        (b'{"email": "a@example.com", "password": "\\ud800 lone surrogate"}', 422, "invalid-request"),
        (b'{"\\ud800": 1, "email": "a@example.com", "password": "x"}', 422, "invalid-request"),
        (b'{"email": "a@example.com", "email": "b@example.com", "password": "x"}', 422, "invalid-request"),
        (b'{"email": "a@example.com", "password": 123456789012}', 422, "invalid-request"),
        (b'{"email": "a@example.com", "password": 1e999}', 422, "invalid-request"),
        (b'{"email": "a@example.com", "password": "x", "remember": true}', 422, "invalid-request"),
        (b"[]", 422, "invalid-request"),
        (b'"text"', 422, "invalid-request"),
        (b"null", 422, "invalid-request"),
        (b"[" * 100_000, 400, "malformed-json"),
        (b'{"password": ' + b"1" * 5000 + b"}", 400, "malformed-json"),
        (b'{"password": "' + b"x" * 1100 + b'", "email": "a@example.com"}', 422, "invalid-request"),
        (b'{"password": "' + b"x" * 1_100_000 + b'"}', 413, "body-too-large"),
    ],
)  # fmt: skip
async def test_bodies_that_are_no_proper_json_are_refused(
    api: httpx.AsyncClient, body: bytes, status: int, code: str
) -> None:
    answer = await api.post("/v1/auth/login", content=body, headers={"Content-Type": "application/json"})
    assert_problem(answer, status, code)
    assert len(answer.content) < 2000


async def test_a_body_without_a_length_is_bounded_too(api: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b"x" * 65536

    answer = await api.post("/v1/auth/login", content=endless(), headers={"Content-Type": "application/json"})
    assert_problem(answer, 413, "body-too-large")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""]
)
async def test_only_json_is_taken(api: httpx.AsyncClient, media_type: str) -> None:
    body = json.dumps({"email": "a@example.com", "password": "x"}).encode()
    answer = await api.post("/v1/auth/login", content=body, headers={"Content-Type": media_type})
    assert_problem(answer, 415, "unsupported-media-type")


async def test_a_trailing_slash_is_another_path_and_never_a_redirect(api: httpx.AsyncClient, user: Any) -> None:
    for method, path in (
        ("GET", "/v1/users/me/"),
        ("POST", "/v1/auth/login/"),
        ("GET", "/v1/users/"),
        ("GET", "//v1/users/me"),
    ):
        answer = await api.request(method, path, headers={**user.bearer, "Host": "evil.example"})
        assert_problem(answer, 404, "not-found")
        assert "location" not in answer.headers


async def test_the_host_header_decides_nothing(api: httpx.AsyncClient, user: Any) -> None:
    # CVE-2026-48710: a Host with a path in it changed what request.url said.
    answer = await api.get("/v1/users", headers={**user.bearer, "Host": "evil/v1/users/me?x="})
    assert_problem(answer, 403, "forbidden")


async def test_other_methods_are_refused(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/auth/login")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


async def test_two_tokens_are_refused(api: httpx.AsyncClient, user: Any, stranger: Any) -> None:
    headers = [("Authorization", f"Bearer {user.access_token}"), ("Authorization", f"Bearer {stranger.access_token}")]
    assert_problem(await api.get("/v1/users/me", headers=headers), 400, "malformed-request")


async def test_a_token_elsewhere_than_in_its_header_is_none(api: httpx.AsyncClient, user: Any) -> None:
    answer = await api.get("/v1/users/me", headers={"Cookie": f"access_token={user.access_token}"})
    assert_problem(answer, 401, "unauthenticated")
    answer = await api.get(f"/v1/users/me?access_token={user.access_token}", headers=user.bearer)
    assert_problem(answer, 422, "invalid-request")


def test_field_errors_carry_no_value() -> None:
    assert set(FieldError.__dataclass_fields__) == {"pointer", "message"}
