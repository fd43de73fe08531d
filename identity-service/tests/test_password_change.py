"""PUT /v1/users/me/password."""

import asyncio
from typing import Any

import httpx

from chassis.testing.http import assert_problem

NEW = "four cats in a canoe"
PATH = "/v1/users/me/password"


def change(account: Any, new: str = NEW) -> dict[str, str]:
    return {"currentPassword": account.password, "newPassword": new}


async def test_a_change_ends_every_other_session_and_keeps_this_one(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, log_in: Any, inbox: Any, deliver: Any
) -> None:
    other = await log_in(user)
    answer = await api.put(PATH, json=change(user), headers=user.bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await other_api.get("/v1/users/me", headers=user.bearer)).status_code == 200
    assert_problem(await other_api.get("/v1/users/me", headers=other.bearer), 401, "invalid-token")
    body = {"refreshToken": other.refresh_token}
    assert_problem(await api.post("/v1/auth/refresh", json=body), 401, "invalid-refresh-token")
    assert (await api.post("/v1/auth/refresh", json={"refreshToken": user.refresh_token})).status_code == 200
    login = {"email": user.email, "password": user.password}
    assert_problem(await api.post("/v1/auth/login", json=login), 401, "invalid-credentials")
    assert (await api.post("/v1/auth/login", json={**login, "password": NEW})).status_code == 200
    await deliver()
    assert "has been changed" in inbox.texts_for(user.email)[-1]


async def test_a_wrong_current_password_changes_nothing(api: httpx.AsyncClient, user: Any) -> None:
    body = {"currentPassword": "not the password", "newPassword": NEW}
    assert_problem(await api.put(PATH, json=body, headers=user.bearer), 403, "invalid-current-password")
    login = await api.post("/v1/auth/login", json={"email": user.email, "password": user.password})
    assert login.status_code == 200


async def test_the_new_password_keeps_the_rules(api: httpx.AsyncClient, user: Any) -> None:
    for password in ("short", "password1234", user.email, "Ann Example!"):
        answer = await api.put(PATH, json=change(user, password), headers=user.bearer)
        problem = assert_problem(answer, 422, "invalid-request")
        assert problem["errors"][0]["pointer"] == "/newPassword"  # type: ignore[index]


async def test_bodies_that_are_not_as_documented_are_refused(api: httpx.AsyncClient, user: Any) -> None:
    bodies: list[Any] = [{}, {"newPassword": NEW}, {"currentPassword": user.password}, {**change(user), "more": 1}, []]
    for body in bodies:
        assert_problem(await api.put(PATH, json=body, headers=user.bearer), 422, "invalid-request")


async def test_guessing_the_current_password_with_a_stolen_token_is_slowed_down(start: Any, user: Any) -> None:
    client = await start(login_free_failures=2)
    body = {"currentPassword": "not the password", "newPassword": NEW}
    statuses = [(await client.put(PATH, json=body, headers=user.bearer)).status_code for _ in range(3)]
    assert statuses == [403, 403, 429]
    # The thief of a token does not lock the owner out of logging in.
    login = await client.post("/v1/auth/login", json={"email": user.email, "password": user.password})
    assert login.status_code == 200


async def test_the_failures_of_some_slow_nobody_else_down(start: Any, user: Any, stranger: Any) -> None:
    client = await start(login_failures_per_address_per_10_minutes=3, login_accounts_per_address_per_10_minutes=1)
    body = {"currentPassword": "not the password", "newPassword": NEW}
    for _ in range(3):
        answer = await client.put("/v1/users/me/password", json=body, headers=stranger.bearer)
        assert_problem(answer, 403, "invalid-current-password")
    assert (await client.put("/v1/users/me/password", json=body, headers=stranger.bearer)).status_code == 429
    body["currentPassword"] = user.password
    assert (await client.put("/v1/users/me/password", json=body, headers=user.bearer)).status_code == 204


async def test_of_fifty_changes_at_once_over_two_replicas_one_wins(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any
) -> None:
    passwords = [f"{number} cats in a canoe" for number in range(1000, 1050)]
    replicas = [api, other_api] * 25
    answers = await asyncio.gather(
        *(
            replica.put(PATH, json=change(user, password), headers=user.bearer)
            for replica, password in zip(replicas, passwords, strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers if answer.status_code != 429)[0] == 204
    assert sum(answer.status_code == 204 for answer in answers) == 1
    assert {answer.status_code for answer in answers} <= {204, 403, 429}
    winner = passwords[[answer.status_code for answer in answers].index(204)]
    login = await api.post("/v1/auth/login", json={"email": user.email, "password": winner})
    assert login.status_code == 200
