"""Sessions: list, end one, end all, log out."""

import asyncio
import uuid
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem


async def is_alive(client: httpx.AsyncClient, account: Any) -> bool:
    return (await client.get("/v1/users/me", headers=account.bearer)).status_code == 200


async def session_ids(client: httpx.AsyncClient, account: Any) -> list[str]:
    answer = await client.get("/v1/auth/sessions?pageSize=100", headers=account.bearer)
    return [session["id"] for session in answer.json()["data"]]


async def test_own_sessions_are_listed_newest_first_in_pages(api: httpx.AsyncClient, user: Any, log_in: Any) -> None:
    await log_in(user, **{"User-Agent": "second"})
    third = await log_in(user, **{"User-Agent": "x" * 300})
    answer = await api.get("/v1/auth/sessions?pageSize=2", headers=third.bearer)
    assert answer.status_code == 200
    document = answer.json()
    assert document["pagination"] == {
        "pageNumber": 1, "pageSize": 2, "totalPages": 2, "lastPage": False, "firstPage": True,
    }  # fmt: skip
    assert answer.headers["x-total-count"] == "3"
    assert 'rel="next"' in answer.headers["link"]
    assert answer.headers["cache-control"] == "private, no-store"
    assert [set(item) for item in document["data"]] == [
        {"id", "createdAt", "lastUsedAt", "userAgent", "ip", "current"}
    ] * 2
    assert [item["current"] for item in document["data"]] == [True, False]
    assert [item["userAgent"] for item in document["data"]] == ["x" * 255, "second"]
    assert document["data"][0]["ip"] == "127.0.0.1"


async def test_nobody_sees_or_ends_the_sessions_of_others(
    api: httpx.AsyncClient, user: Any, stranger: Any, admin: Any
) -> None:
    (theirs,) = await session_ids(api, stranger)
    assert theirs not in await session_ids(api, user)
    for caller in (user, admin):
        answer = await api.delete(f"/v1/auth/sessions/{theirs}", headers=caller.bearer)
        assert_problem(answer, 404, "session-not-found")
    assert await is_alive(api, stranger)


async def test_ending_one_session_leaves_the_others(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, log_in: Any
) -> None:
    other = await log_in(user)
    mine = [s for s in await session_ids(api, user) if s in await session_ids(api, other)]
    current = await api.get("/v1/auth/sessions", headers=other.bearer)
    (ended,) = [item["id"] for item in current.json()["data"] if item["current"]]
    assert ended in mine
    for _ in range(2):
        assert (await api.delete(f"/v1/auth/sessions/{ended}", headers=user.bearer)).status_code == 204
    assert not await is_alive(other_api, other)
    assert_problem(
        await api.post("/v1/auth/refresh", json={"refreshToken": other.refresh_token}), 401, "invalid-refresh-token"
    )
    assert await is_alive(api, user)
    assert ended not in await session_ids(api, user)


async def test_ending_all_ends_this_one_too(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, log_in: Any
) -> None:
    other = await log_in(user)
    assert (await api.delete("/v1/auth/sessions", headers=user.bearer)).status_code == 204
    for account in (user, other):
        assert_problem(await other_api.get("/v1/users/me", headers=account.bearer), 401, "invalid-token")
        body = {"refreshToken": account.refresh_token}
        assert_problem(await api.post("/v1/auth/refresh", json=body), 401, "invalid-refresh-token")
    assert await is_alive(api, await log_in(user))


async def test_logging_out_ends_the_session_of_the_token(api: httpx.AsyncClient, user: Any, log_in: Any) -> None:
    other = await log_in(user)
    answer = await api.post("/v1/auth/logout", headers=user.bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not await is_alive(api, user)
    assert await is_alive(api, other)


async def test_logging_out_fifty_times_at_once_ends_it_once(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, sql: Any
) -> None:
    answers = await asyncio.gather(
        *(replica.post("/v1/auth/logout", headers=user.bearer) for replica in [api, other_api] * 25)
    )
    assert {answer.status_code for answer in answers} <= {204, 401}
    rows = await sql(
        "SELECT e.body FROM outbox_events e WHERE e.type = 'identity.session.revoked.v1' AND e.body LIKE :user",
        user=f"%{user.id}%",
    )
    assert len(rows) == 1


@pytest.mark.parametrize("identifier", ["not-a-uuid", "0", "%00", "..%2f", "A0000000-0000-0000-0000-000000000000"])
async def test_an_id_that_is_none_is_refused(api: httpx.AsyncClient, user: Any, identifier: str) -> None:
    answer = await api.delete(f"/v1/auth/sessions/{identifier}", headers=user.bearer)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_unknown_session_is_not_found(api: httpx.AsyncClient, user: Any) -> None:
    answer = await api.delete(f"/v1/auth/sessions/{uuid.uuid4()}", headers=user.bearer)
    assert_problem(answer, 404, "session-not-found")


async def test_a_session_that_has_been_idle_too_long_is_not_listed(
    api: httpx.AsyncClient, user: Any, log_in: Any, sql: Any
) -> None:
    other = await log_in(user)
    (idle,) = [
        item["id"]
        for item in (await api.get("/v1/auth/sessions", headers=user.bearer)).json()["data"]
        if item["current"]
    ]
    await sql(
        "UPDATE sessions SET last_used_at = last_used_at - INTERVAL 14 DAY WHERE id = :id", id=uuid.UUID(idle).bytes
    )
    assert idle not in await session_ids(api, other)
