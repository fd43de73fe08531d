"""What is refused is recorded like what succeeds: who, what, from where, with which result, and no secret."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from chassis.ids import new_id
from chassis.testing.http import assert_problem

WEAK = "password1234"
SECRET = "a secret that nobody may read"
Acts = Callable[..., Awaitable[list[tuple[str, str, str | None]]]]


@pytest.fixture
def request_id() -> dict[str, str]:
    return {"X-Request-Id": f"audit-{new_id()}"}


@pytest.fixture
def acts(sql: Any, request_id: dict[str, str]) -> Acts:
    """The acts recorded under this test's request id: action, result and detail."""

    async def read() -> list[tuple[str, str, str | None]]:
        rows = await sql(
            "SELECT * FROM audit_events WHERE request_id = :rid ORDER BY id", rid=request_id["X-Request-Id"]
        )
        assert all(row["ip"] == "127.0.0.1" for row in rows)
        assert SECRET not in str(rows)
        assert WEAK not in str(rows)
        return [(row["action"], row["result"], row["detail"]) for row in rows]

    return read


async def test_a_refused_registration(
    api: httpx.AsyncClient, user: Any, new_email: Callable[[], str], acts: Acts, request_id: dict[str, str]
) -> None:
    for email, password in ((new_email(), WEAK), (user.email, SECRET)):
        body = {"email": email, "password": password, "name": "Ann"}
        assert (await api.post("/v1/users", json=body, headers=request_id)).status_code in (409, 422)
    assert await acts() == [("register", "failure", "invalid-request"), ("register", "failure", "email-taken")]


async def test_a_refused_password_change(
    api: httpx.AsyncClient, user: Any, acts: Acts, request_id: dict[str, str]
) -> None:
    headers = {**user.bearer, **request_id}
    for current, new in ((user.password, WEAK), (SECRET, SECRET + "!")):
        body = {"currentPassword": current, "newPassword": new}
        assert (await api.put("/v1/users/me/password", json=body, headers=headers)).status_code in (403, 422)
    assert_problem(
        await api.patch("/v1/users/me", json={"email": "x@example.com"}, headers=headers), 422, "invalid-request"
    )
    assert await acts() == [
        ("password-change", "failure", "invalid-request"),
        ("password-change", "failure", None),
        ("email-change", "failure", "invalid-request"),
    ]


async def test_refused_recovery(
    api: httpx.AsyncClient, user: Any, reset_token: Any, acts: Acts, request_id: dict[str, str]
) -> None:
    token = await reset_token(user.email)
    for given, new in ((token, WEAK), ("A" * len(token), SECRET)):
        body = {"token": given, "newPassword": new}
        assert (await api.post("/v1/auth/password/reset", json=body, headers=request_id)).status_code in (400, 422)
    for _ in range(6):
        await api.post("/v1/auth/password/forgot", json={"email": "a" + user.email}, headers=request_id)
    assert await acts() == [
        ("password-reset", "failure", "invalid-request"),
        ("password-reset", "failure", "invalid-reset-token"),
        *[("password-forgot", "success", None)] * 5,
        ("password-forgot", "throttled", None),
    ]


async def test_refused_refreshes(
    api: httpx.AsyncClient, user: Any, sql: Any, acts: Acts, request_id: dict[str, str]
) -> None:
    async def refresh(token: str) -> int:
        body = {"refreshToken": token}
        return (await api.post("/v1/auth/refresh", json=body, headers=request_id)).status_code

    assert await refresh("rt_" + "A" * 43) == 401
    assert await refresh(user.refresh_token) == 200
    assert await refresh(user.refresh_token) == 409
    await sql("UPDATE users SET status = 'disabled' WHERE email = :email", email=user.email)
    assert await refresh(user.refresh_token) == 401
    assert await acts() == [
        ("refresh", "failure", "invalid-refresh-token"),
        ("refresh", "failure", "refresh-conflict"),
        ("refresh", "failure", "invalid-refresh-token"),
    ]


async def test_somebody_elses_session(
    api: httpx.AsyncClient, user: Any, stranger: Any, acts: Acts, request_id: dict[str, str]
) -> None:
    listed = await api.get("/v1/auth/sessions", headers=stranger.bearer)
    other = listed.json()["data"][0]["id"]
    answer = await api.delete(f"/v1/auth/sessions/{other}", headers={**user.bearer, **request_id})
    assert_problem(answer, 404, "session-not-found")
    assert await acts() == [("session-end", "failure", "session-not-found")]


async def test_a_flood_is_recorded_once_in_its_window(
    start: Any, sql: Any, acts: Acts, request_id: dict[str, str]
) -> None:
    api = await start(resets_per_address_per_hour=2)
    await sql("DELETE FROM rate_counters")
    body = {"token": "A" * 43, "newPassword": SECRET}
    for _ in range(6):
        await api.post("/v1/auth/password/reset", json=body, headers=request_id)
    await sql("DELETE FROM rate_counters")
    assert await acts() == [
        *[("password-reset", "failure", "invalid-reset-token")] * 2,
        ("password-reset", "throttled", "reset"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "inputs"),
    [
        ("/v1/users", {"email": "no address", "password": SECRET, "name": ""}, ["/email", "/name"]),
        ("/v1/auth/login", {"email": "a@example.com", "password": [SECRET]}, ["/password"]),
        ("/v1/auth/login", {"email": "a@example.com", "passwort": SECRET}, ["/?", "/password"]),
        ("/v1/auth/refresh", {"refreshToken": None, SECRET: 1}, ["/?", "/refreshToken"]),
        ("/v1/auth/password/forgot", {"email": SECRET}, ["/email"]),
        ("/v1/auth/password/reset", {"token": SECRET, "newPassword": 7}, ["/newPassword"]),
    ],
)
async def test_bodies_that_are_not_as_documented_are_security_events(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str, body: dict[str, Any], inputs: list[str]
) -> None:
    caplog.set_level(logging.INFO, logger="security")
    assert_problem(await api.post(path, json=body), 422, "invalid-request")
    (record,) = [vars(record) for record in caplog.records if record.name == "security"]
    assert (record["code"], record["route"], record["inputs"]) == ("invalid-request", path, inputs)
    assert SECRET not in str(record)
