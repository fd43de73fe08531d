"""Who may do what: nothing without a token, and changes of packages for administrators only."""

from typing import Any

import pytest
from fastapi.routing import APIRoute

from chassis.ids import new_id
from chassis.testing.http import assert_problem
from subscription.main import create_app

ADMIN_ONLY = {
    ("POST", "/v1/packages"),
    ("PATCH", "/v1/packages/{packageId}"),
    ("DELETE", "/v1/packages/{packageId}"),
    ("POST", "/v1/packages/{packageId}/restore"),
    ("POST", "/v1/packages/{packageId}/subscriptions"),
}
PUBLIC = {"/livez", "/readyz", "/metrics"}


def routes(settings: Any, resources: Any) -> list[tuple[str, str]]:
    app = create_app(settings, resources=resources)
    found: list[tuple[str, str]] = []
    pending: list[Any] = list(app.routes)
    while pending:
        route = pending.pop()
        pending += getattr(getattr(route, "original_router", None), "routes", [])
        if isinstance(route, APIRoute) and route.path not in PUBLIC:
            found += [(method, route.path) for method in route.methods or ()]
    return found


def concrete(path: str) -> str:
    return path.format(packageId=new_id(), subscriptionId=new_id(), version=1)


async def test_every_route_asks_for_a_token(api: Any, settings: Any, resources: Any) -> None:
    found = routes(settings, resources)
    assert len(found) == 17
    for method, path in found:
        assert_problem(await api(method, concrete(path), {}), 401, "unauthenticated")


async def test_a_token_that_is_not_valid_is_refused(api: Any, token_issuer: Any) -> None:
    for token in ("x", token_issuer.token(exp=1, iat=0, nbf=0), token_issuer.token(aud="other")):
        answer = await api("GET", "/v1/packages", authorization=f"Bearer {token}")
        assert_problem(answer, 401, "invalid-token")


async def test_packages_are_changed_by_administrators_only(api: Any, user: Any, settings: Any, resources: Any) -> None:
    for method, path in sorted(ADMIN_ONLY):
        assert (method, path) in routes(settings, resources)
        assert_problem(await user(method, concrete(path), {}, if_match="*"), 403, "forbidden")


@pytest.mark.parametrize(("content", "status", "code"), [
    (b"{", 400, "malformed-json"),
    (b"", 400, "malformed-json"),
    (b'{"name": NaN}', 400, "malformed-json"),
    (b'{"name": "a", "name": "b"}', 422, "invalid-request"),
    (b'{"name": "\\ud800", "genreIds": [28]}', 422, "invalid-request"),
    (b"[]", 422, "invalid-request"),
])  # fmt: skip
async def test_a_body_that_cannot_be_read_is_refused(
    admin: Any, shared_client: Any, content: bytes, status: int, code: str
) -> None:
    for method, path in (
        ("POST", "/v1/packages"),
        ("PATCH", f"/v1/packages/{new_id()}"),
        ("POST", "/v1/subscriptions"),
    ):
        headers = {**admin.headers, "content-type": "application/json", "if-match": "*"}
        answer = await shared_client.request(method, path, content=content, headers=headers)
        assert_problem(answer, status, code)


async def test_another_media_type_is_refused(admin: Any, shared_client: Any) -> None:
    headers = {**admin.headers, "content-type": "text/plain"}
    answer = await shared_client.post("/v1/packages", content=b"{}", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")


async def test_unknown_paths_and_methods_are_problems_too(user: Any) -> None:
    assert_problem(await user("GET", "/v1/packages/"), 404, "not-found")
    assert_problem(await user("GET", "/v1/Packages"), 404, "not-found")
    assert_problem(await user("PUT", "/v1/packages"), 405, "method-not-allowed")
