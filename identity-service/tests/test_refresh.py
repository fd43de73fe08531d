"""POST /v1/auth/refresh: single use, one winner, and the end of the session on a replay."""

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from chassis.testing.http import assert_problem


async def refresh(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.post("/v1/auth/refresh", json={"refreshToken": token})


async def age_use(sql: Any, seconds: int) -> None:
    statement = "UPDATE refresh_tokens SET used_at = used_at - INTERVAL :seconds SECOND WHERE used_at IS NOT NULL"
    await sql(statement, seconds=seconds)


async def is_alive(client: httpx.AsyncClient, pair: Any) -> bool:
    answer = await client.get("/v1/users/me", headers={"Authorization": f"Bearer {pair['accessToken']}"})
    return answer.status_code == 200


async def test_a_refresh_token_gives_a_new_pair_of_the_same_session(api: httpx.AsyncClient, user: Any) -> None:
    import jwt

    answer = await refresh(api, user.refresh_token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    pair = answer.json()
    assert set(pair) == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert pair["refreshToken"] != user.refresh_token
    before, after = (
        jwt.decode(token, options={"verify_signature": False}) for token in (user.access_token, pair["accessToken"])
    )
    assert (before["sid"], before["auth_time"]) == (after["sid"], after["auth_time"])
    assert before["jti"] != after["jti"]
    assert await is_alive(api, pair)


async def test_its_predecessor_within_two_seconds_is_a_conflict_that_changes_nothing(
    api: httpx.AsyncClient, user: Any
) -> None:
    pair = (await refresh(api, user.refresh_token)).json()
    assert_problem(await refresh(api, user.refresh_token), 409, "refresh-conflict")
    assert_problem(await refresh(api, user.refresh_token), 409, "refresh-conflict")
    assert await is_alive(api, pair)
    assert (await refresh(api, pair["refreshToken"])).status_code == 200


async def test_a_race_stays_one_however_long_it_has_to_wait_for_its_turn(
    api: httpx.AsyncClient, user: Any, sql: Any, resources: Any
) -> None:
    pair = (await refresh(api, user.refresh_token)).json()
    async with resources.database.engine.begin() as holder:
        await holder.execute(
            text("SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.email = :email FOR UPDATE"),
            {"email": user.email},
        )
        late = asyncio.create_task(refresh(api, user.refresh_token))
        over = "SELECT MIN(r.used_at) < UTC_TIMESTAMP(6) - INTERVAL 2500000 MICROSECOND AS gone FROM refresh_tokens r "
        of_user = "JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id WHERE u.email = :email"
        while not (await sql(over + of_user, email=user.email))[0]["gone"]:
            assert not late.done()
            await asyncio.sleep(0.05)
    assert_problem(await late, 409, "refresh-conflict")
    assert await is_alive(api, pair)


async def test_a_used_token_after_the_window_ends_the_whole_session(
    api: httpx.AsyncClient, user: Any, sql: Any
) -> None:
    pair = (await refresh(api, user.refresh_token)).json()
    await age_use(sql, 2)
    assert_problem(await refresh(api, user.refresh_token), 401, "invalid-refresh-token")
    assert_problem(await refresh(api, pair["refreshToken"]), 401, "invalid-refresh-token")
    assert not await is_alive(api, pair)
    (row,) = await sql(
        "SELECT a.result FROM audit_events a JOIN users u ON u.id = a.subject_id "
        "WHERE u.email = :email AND a.action = 'refresh-replay'",
        email=user.email,
    )
    assert row["result"] == "failure"


async def test_an_older_token_ends_the_session_even_within_the_window(api: httpx.AsyncClient, user: Any) -> None:
    second = (await refresh(api, user.refresh_token)).json()
    third = (await refresh(api, second["refreshToken"])).json()
    assert_problem(await refresh(api, user.refresh_token), 401, "invalid-refresh-token")
    assert_problem(await refresh(api, third["refreshToken"]), 401, "invalid-refresh-token")
    assert not await is_alive(api, third)


async def test_without_a_window_every_replay_ends_the_session(start: Any, user: Any) -> None:
    strict = await start(refresh_race_window_ms=0)
    pair = (await refresh(strict, user.refresh_token)).json()
    assert_problem(await refresh(strict, user.refresh_token), 401, "invalid-refresh-token")
    assert_problem(await refresh(strict, pair["refreshToken"]), 401, "invalid-refresh-token")


async def test_a_replay_ends_one_session_and_no_other(api: httpx.AsyncClient, user: Any, log_in: Any, sql: Any) -> None:
    other = await log_in(user)
    await refresh(api, user.refresh_token)
    await age_use(sql, 2)
    await refresh(api, user.refresh_token)
    assert (await refresh(api, other.refresh_token)).status_code == 200


async def test_of_fifty_at_once_over_two_replicas_exactly_one_wins(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, sql: Any
) -> None:
    answers = await asyncio.gather(*(refresh(replica, user.refresh_token) for replica in [api, other_api] * 25))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 49
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "refresh-conflict")
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    (row,) = await sql(
        "SELECT COUNT(*) AS live FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id "
        "JOIN users u ON u.id = s.user_id WHERE u.email = :email AND r.used_at IS NULL",
        email=user.email,
    )
    assert row["live"] == 1
    assert (await refresh(api, winner["refreshToken"])).status_code == 200


async def test_a_refresh_that_races_a_logout_leaves_no_session_alive(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, register: Any
) -> None:
    for _ in range(8):
        account = await register()
        refreshed, left = await asyncio.gather(
            refresh(api, account.refresh_token), other_api.post("/v1/auth/logout", headers=account.bearer)
        )
        assert left.status_code == 204
        assert refreshed.status_code in (200, 401)
        if refreshed.status_code == 200:
            assert_problem(await refresh(api, refreshed.json()["refreshToken"]), 401, "invalid-refresh-token")
            assert not await is_alive(api, refreshed.json())


@pytest.mark.parametrize("token", ["", "rt_", "rt_" + "a" * 43, "0", "' OR 1=1 --", "\0", "é" * 20])
async def test_what_is_no_token_of_ours_is_refused(api: httpx.AsyncClient, token: str) -> None:
    assert_problem(await refresh(api, token), 401, "invalid-refresh-token")


async def test_an_access_token_is_no_refresh_token(api: httpx.AsyncClient, user: Any) -> None:
    assert_problem(await refresh(api, user.access_token[:512]), 401, "invalid-refresh-token")


@pytest.mark.parametrize(
    "expiry",
    [
        "UPDATE refresh_tokens r JOIN sessions s ON s.id = r.session_id SET r.expires_at = UTC_TIMESTAMP(6)",
        "UPDATE sessions s SET s.expires_at = UTC_TIMESTAMP(6)",
        "UPDATE users u JOIN sessions s ON s.user_id = u.id SET u.status = 'disabled'",
        "UPDATE sessions s SET s.revoked_at = UTC_TIMESTAMP(6)",
    ],
)
async def test_idle_too_long_too_old_disabled_and_ended_are_refused(
    api: httpx.AsyncClient, user: Any, sql: Any, expiry: str
) -> None:
    (row,) = await sql("SELECT id FROM users WHERE email = :email", email=user.email)
    await sql(f"{expiry} WHERE s.user_id = :id", id=row["id"])
    assert_problem(await refresh(api, user.refresh_token), 401, "invalid-refresh-token")


async def test_only_a_hash_of_the_token_is_stored(user: Any, sql: Any) -> None:
    rows = await sql("SELECT hash, parent FROM refresh_tokens")
    assert user.refresh_token.encode() not in b"".join(row["hash"] for row in rows)
    assert all(len(row["hash"]) == 32 for row in rows)


async def test_a_session_cannot_be_refreshed_without_end_in_a_minute(start: Any, user: Any) -> None:
    client = await start(refreshes_per_session_per_minute=3)
    token, statuses = user.refresh_token, []
    for _ in range(4):
        answer = await refresh(client, token)
        statuses.append(answer.status_code)
        token = answer.json().get("refreshToken", token)
    assert statuses == [200, 200, 200, 429]
    assert_problem(answer, 429, "too-many-requests")
    # Refused, not used up: the same token works when the minute has passed.
    assert (await refresh(await start(), token)).status_code == 200
