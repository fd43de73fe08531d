"""The last active administrator stays, whoever leaves or is removed at the same moment."""

import asyncio
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem


async def patch(client: httpx.AsyncClient, account: Any, path: str, **body: Any) -> httpx.Response:
    return await client.patch(f"/v1/users/{path}", json=body, headers=account.bearer)


@pytest.fixture
async def lonely(sql: Any, admin: Any) -> Any:
    """The only active administrator there is; the others come back afterwards."""
    others = await sql("SELECT id FROM users WHERE role = 'admin' AND email <> :email", email=admin.email)
    await sql("UPDATE users SET role = 'user' WHERE email <> :email", email=admin.email)
    yield admin
    for row in others:
        await sql("UPDATE users SET role = 'admin' WHERE id = :id", id=row["id"])


async def test_the_last_administrator_stays(api: httpx.AsyncClient, lonely: Any, user: Any) -> None:
    for path in ("me", lonely.id):
        assert_problem(await patch(api, lonely, path, status="disabled"), 409, "last-admin")
        assert_problem(await patch(api, lonely, path, role="user"), 409, "last-admin")
        assert_problem(await api.delete(f"/v1/users/{path}", headers=lonely.bearer), 409, "last-admin")
    assert (await patch(api, lonely, "me", name="Still here")).status_code == 200
    # A disabled administrator is not one to rely on.
    await patch(api, lonely, user.id, role="admin", status="disabled")
    assert_problem(await patch(api, lonely, "me", role="user"), 409, "last-admin")
    await patch(api, lonely, user.id, status="active")
    assert (await patch(api, lonely, "me", role="user")).status_code == 200


@pytest.mark.parametrize("how", ["demote", "disable", "delete"])
async def test_of_many_administrators_who_leave_at_once_one_stays(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, lonely: Any, register: Any, log_in: Any, sql: Any, how: str
) -> None:
    admins = [lonely]
    for _ in range(7):
        account = await register()
        await sql("UPDATE users SET role = 'admin' WHERE email = :email", email=account.email)
        admins.append(account)

    async def leave(client: httpx.AsyncClient, account: Any) -> httpx.Response:
        if how == "delete":
            return await client.delete("/v1/users/me", headers=account.bearer)
        return await patch(client, account, "me", **({"role": "user"} if how == "demote" else {"status": "disabled"}))

    replicas = [api, other_api] * 4
    answers = await asyncio.gather(*(leave(r, a) for r, a in zip(replicas, admins, strict=True)))
    assert sorted(answer.status_code // 100 for answer in answers) == [2] * 7 + [4]
    (refused,) = [answer for answer in answers if answer.status_code >= 400]
    assert_problem(refused, 409, "last-admin")
    (row,) = await sql("SELECT COUNT(*) AS n FROM users WHERE role = 'admin' AND status = 'active'")
    assert row["n"] == 1
    await sql("UPDATE users SET role = 'user' WHERE email <> :email", email=lonely.email)


@pytest.mark.parametrize("how", ["demote", "disable", "delete"])
async def test_of_two_administrators_who_remove_each_other_at_once_one_stays(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, lonely: Any, register: Any, log_in: Any, sql: Any, how: str
) -> None:
    other = await register()
    await sql("UPDATE users SET role = 'admin' WHERE email = :email", email=other.email)

    async def remove(client: httpx.AsyncClient, actor: Any, victim: Any) -> httpx.Response:
        if how == "delete":
            return await client.delete(f"/v1/users/{victim.id}", headers=actor.bearer)
        change = {"role": "user"} if how == "demote" else {"status": "disabled"}
        return await patch(client, actor, victim.id, **change)

    # Not only two requests: each administrator asks ten times, on both replicas.
    asked = [(replica, *pair) for replica in (api, other_api) for pair in ((lonely, other), (other, lonely))] * 5
    answers = await asyncio.gather(*(remove(*each) for each in asked))
    left = await sql("SELECT email FROM users WHERE role = 'admin' AND status = 'active'")
    assert len(left) == 1
    winners = {
        actor.email
        for (_, actor, victim), answer in zip(asked, answers, strict=True)
        if answer.status_code < 300 and victim.email != left[0]["email"]
    }
    assert winners == {left[0]["email"]}
    for (_, actor, _), answer in zip(asked, answers, strict=True):
        if actor.email != left[0]["email"]:
            # Too late for the other: refused as one who is no administrator any more, or for the last one's sake.
            assert answer.status_code in (401, 403, 409), answer.text
    await sql("UPDATE users SET role = 'admin', status = 'active' WHERE email = :email", email=lonely.email)
