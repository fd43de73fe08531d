"""What the gateway and other services ask."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem

INTERNAL = {"Authorization": "Bearer internal-token-of-the-test-suite-0123456789"}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/internal/v1/users/lookup"), ("GET", "/internal/v1/revocations")]
)
async def test_only_the_suites_own_processes_may_ask(
    api: httpx.AsyncClient, admin: Any, method: str, path: str
) -> None:
    body: dict[str, list[str]] | None = {"ids": []} if method == "POST" else None
    for headers in ({}, admin.bearer, {"Authorization": "Bearer x"}, {"Authorization": INTERNAL["Authorization"][:-1]}):
        answer = await api.request(method, path, json=body, headers=headers)
        assert_problem(answer, 401, "unauthenticated")


async def test_known_users_are_told_with_their_status(
    api: httpx.AsyncClient, user: Any, stranger: Any, admin: Any
) -> None:
    await api.patch(f"/v1/users/{stranger.id}", json={"status": "disabled"}, headers=admin.bearer)
    ids = [user.id, stranger.id, str(uuid.uuid4()), user.id]
    answer = await api.post("/internal/v1/users/lookup", json={"ids": ids}, headers=INTERNAL)
    assert answer.status_code == 200
    assert sorted(answer.json()["users"], key=lambda u: u["id"]) == sorted(
        [{"id": user.id, "status": "active"}, {"id": stranger.id, "status": "disabled"}], key=lambda u: u["id"]
    )
    empty = await api.post("/internal/v1/users/lookup", json={"ids": []}, headers=INTERNAL)
    assert empty.json() == {"users": []}


async def test_a_thousand_ids_are_the_most(api: httpx.AsyncClient) -> None:
    ids = [str(uuid.uuid4()) for _ in range(1001)]
    assert (await api.post("/internal/v1/users/lookup", json={"ids": ids[1:]}, headers=INTERNAL)).status_code == 200
    answer = await api.post("/internal/v1/users/lookup", json={"ids": ids}, headers=INTERNAL)
    assert_problem(answer, 422, "invalid-request")


async def test_the_snapshot_holds_what_was_ended_lately(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, admin: Any, register: Any, log_in: Any, sql: Any
) -> None:
    import jwt

    left, reset, disabled, deleted, promoted, untouched = [await register() for _ in range(6)]
    sid = jwt.decode(left.access_token, options={"verify_signature": False})["sid"]
    await api.post("/v1/auth/logout", headers=left.bearer)
    await api.delete("/v1/auth/sessions", headers=reset.bearer)
    await api.patch(f"/v1/users/{disabled.id}", json={"status": "disabled"}, headers=admin.bearer)
    await api.patch(f"/v1/users/{promoted.id}", json={"role": "admin"}, headers=admin.bearer)
    await api.delete("/v1/users/me", headers=deleted.bearer)
    snapshot = (await other_api.get("/internal/v1/revocations", headers=INTERNAL)).json()
    assert set(snapshot) == {"sessions", "users", "asOf"}
    (ended,) = [each for each in snapshot["sessions"] if each["sid"] == sid]
    until = datetime.fromisoformat(ended["until"])
    assert timedelta(minutes=9) < until - datetime.now(UTC) < timedelta(minutes=11)
    users = {each["userId"]: each for each in snapshot["users"]}
    assert users[reset.id] == {"userId": reset.id, "minVersion": 2, "blocked": False}
    assert users[promoted.id] == {"userId": promoted.id, "minVersion": 2, "blocked": False}
    assert users[disabled.id] == {"userId": disabled.id, "minVersion": 2, "blocked": True}
    assert users[deleted.id] == {"userId": deleted.id, "minVersion": None, "blocked": True}
    assert untouched.id not in users
    await sql("UPDATE users SET tokens_revoked_at = tokens_revoked_at - INTERVAL 20 MINUTE")
    await sql("UPDATE deleted_users SET deleted_at = deleted_at - INTERVAL 20 MINUTE")
    await sql("UPDATE sessions SET revoked_at = revoked_at - INTERVAL 20 MINUTE WHERE revoked_at IS NOT NULL")
    later = (await api.get("/internal/v1/revocations", headers=INTERNAL)).json()
    assert not {sid} & {each["sid"] for each in later["sessions"]}
    assert not {reset.id, deleted.id} & {each["userId"] for each in later["users"]}


async def test_internal_routes_are_not_in_the_published_document(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    assert not [path for path in paths if path.startswith("/internal")]
