"""Forgot and reset: no oracle, single use, and everything issued before is ended."""

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from chassis.testing.http import assert_problem

NEW = "four cats in a canoe"


async def forgot(client: httpx.AsyncClient, email: str, **headers: str) -> httpx.Response:
    return await client.post("/v1/auth/password/forgot", json={"email": email}, headers=headers)


async def reset(client: httpx.AsyncClient, token: str, password: str = NEW) -> httpx.Response:
    return await client.post("/v1/auth/password/reset", json={"token": token, "newPassword": password})


async def login_status(client: httpx.AsyncClient, email: str, password: str) -> int:
    answer = await client.post("/v1/auth/login", json={"email": email, "password": password})
    return answer.status_code


async def test_known_unknown_disabled_and_throttled_get_the_same_answer(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, user: Any, stranger: Any, new_email: Callable[[], str], sql: Any, inbox: Any, deliver: Any
) -> None:
    await sql("UPDATE users SET status = 'disabled' WHERE email = :email", email=stranger.email)
    unknown = new_email()
    answers = [await forgot(api, email) for email in (user.email, stranger.email, unknown)]
    answers += [await forgot(api, unknown) for _ in range(8)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    plain = [{k: v for k, v in answer.headers.items() if k != "x-request-id"} for answer in answers]
    assert all(headers == plain[0] for headers in plain)
    await deliver()
    assert len(inbox.texts_for(user.email)) == 1
    assert not inbox.texts_for(stranger.email)
    assert not inbox.texts_for(unknown)


async def test_no_account_is_looked_up_in_the_request(
    api: httpx.AsyncClient, user: Any, new_email: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from identity.storage import users

    async def never(*_: Any) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(users, "find_by_email", never)
    assert (await forgot(api, user.email)).status_code == 202
    assert (await forgot(api, new_email())).status_code == 202


async def test_the_mail_has_link_and_token_and_goes_to_the_stored_address(
    api: httpx.AsyncClient, user: Any, inbox: Any, deliver: Any
) -> None:
    await forgot(
        api,
        user.email.upper(),
        Host="evil.example",
        **{"X-Forwarded-Host": "evil.example", "Origin": "https://evil.example"},
    )
    await deliver()
    (mail,) = inbox.texts_for(user.email)
    (link,) = re.findall(r"^(https://\S+)\r?$", mail, re.MULTILINE)
    token = link.removeprefix("https://web.example/reset-password#token=")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert re.search(rf"^{token}\r?$", mail, re.MULTILINE)
    assert "evil" not in mail
    assert "30 minutes" in mail


async def test_a_reset_sets_the_password_and_ends_everything(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient,
    other_api: httpx.AsyncClient,
    user: Any,
    log_in: Any,
    reset_token: Any,
    inbox: Any,
    deliver: Any,
) -> None:
    other = await log_in(user)
    answer = await reset(api, await reset_token(user.email))
    assert (answer.status_code, answer.content) == (204, b"")
    for account in (user, other):
        assert_problem(await other_api.get("/v1/users/me", headers=account.bearer), 401, "invalid-token")
        body = {"refreshToken": account.refresh_token}
        assert_problem(await api.post("/v1/auth/refresh", json=body), 401, "invalid-refresh-token")
    assert await login_status(api, user.email, user.password) == 401
    assert await login_status(api, user.email, NEW) == 200
    await deliver()
    assert "has been changed" in inbox.texts_for(user.email)[-1]


async def test_a_token_works_once(api: httpx.AsyncClient, user: Any, reset_token: Any) -> None:
    token = await reset_token(user.email)
    assert (await reset(api, token)).status_code == 204
    assert_problem(await reset(api, token, "another try with it"), 400, "invalid-reset-token")
    assert await login_status(api, user.email, NEW) == 200


async def test_of_fifty_resets_at_once_over_two_replicas_one_wins(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, reset_token: Any
) -> None:
    token = await reset_token(user.email)
    passwords = [f"{number} cats in a canoe" for number in range(1000, 1050)]
    replicas = [api, other_api] * 25
    answers = await asyncio.gather(*(reset(r, token, p) for r, p in zip(replicas, passwords, strict=True)))
    assert sorted(answer.status_code for answer in answers) == [204] + [400] * 49
    winner = passwords[[answer.status_code for answer in answers].index(204)]
    assert await login_status(api, user.email, winner) == 200


async def test_a_newer_token_replaces_the_older(api: httpx.AsyncClient, user: Any, reset_token: Any) -> None:
    older, newer = await reset_token(user.email), await reset_token(user.email)
    assert_problem(await reset(api, older), 400, "invalid-reset-token")
    assert (await reset(api, newer)).status_code == 204


async def test_an_expired_token_is_refused(api: httpx.AsyncClient, user: Any, reset_token: Any, sql: Any) -> None:
    token = await reset_token(user.email)
    (row,) = await sql(
        "SELECT TIMESTAMPDIFF(SECOND, r.created_at, r.expires_at) AS seconds FROM reset_tokens r "
        "JOIN users u ON u.id = r.user_id WHERE u.email = :email",
        email=user.email,
    )
    assert row["seconds"] == 30 * 60
    await sql("UPDATE reset_tokens SET expires_at = UTC_TIMESTAMP(6)")
    assert_problem(await reset(api, token), 400, "invalid-reset-token")


@pytest.mark.parametrize("token", ["", "0", "x", "a" * 43, "a" * 512, "' OR ''='", "\0"])
async def test_what_is_no_token_of_ours_is_refused(api: httpx.AsyncClient, token: str) -> None:
    assert_problem(await reset(api, token), 400, "invalid-reset-token")


async def test_a_refused_password_does_not_spend_the_token(api: httpx.AsyncClient, user: Any, reset_token: Any) -> None:
    token = await reset_token(user.email)
    for password in ("short", "password1234", user.email):
        problem = assert_problem(await reset(api, token, password), 422, "invalid-request")
        assert problem["errors"][0]["pointer"] == "/newPassword"  # type: ignore[index]
    assert (await reset(api, token)).status_code == 204


async def test_changing_password_or_address_kills_the_token(
    api: httpx.AsyncClient, user: Any, stranger: Any, reset_token: Any, new_email: Callable[[], str]
) -> None:
    tokens = [await reset_token(user.email), await reset_token(stranger.email)]
    change = {"currentPassword": user.password, "newPassword": NEW}
    assert (await api.put("/v1/users/me/password", json=change, headers=user.bearer)).status_code == 204
    move = {"email": new_email(), "currentPassword": stranger.password}
    assert (await api.patch("/v1/users/me", json=move, headers=stranger.bearer)).status_code == 200
    for token in tokens:
        assert_problem(await reset(api, token), 400, "invalid-reset-token")


async def test_logging_in_kills_the_token(api: httpx.AsyncClient, user: Any, reset_token: Any) -> None:
    token = await reset_token(user.email)
    # A login that fails proves nothing.
    assert await login_status(api, user.email, "not the password") == 401
    assert (await reset(api, token, "short")).status_code == 422
    assert await login_status(api, user.email, user.password) == 200
    assert_problem(await reset(api, token), 400, "invalid-reset-token")
    assert await login_status(api, user.email, user.password) == 200


async def test_a_token_from_before_a_disabling_does_not_come_back(
    api: httpx.AsyncClient, user: Any, admin: Any, reset_token: Any
) -> None:
    token = await reset_token(user.email)
    for status in ("disabled", "active"):
        answer = await api.patch(f"/v1/users/{user.id}", json={"status": status}, headers=admin.bearer)
        assert answer.status_code == 200
    assert_problem(await reset(api, token), 400, "invalid-reset-token")


async def test_no_token_goes_to_an_address_that_is_being_given_up(
    resources: Any, user: Any, new_email: Callable[[], str], sql: Any
) -> None:
    waiting = "SELECT COUNT(*) AS n FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    async with resources.database.engine.begin() as change:
        await change.execute(
            text("UPDATE users SET email = :new WHERE email = :old"), {"new": new_email(), "old": user.email}
        )
        issuing = asyncio.ensure_future(resources.passwords.issue_reset_token(user.email))
        while not issuing.done() and not (await sql(waiting))[0]["n"]:
            # Who asks InnoDB again within a tenth of a second is told what it was told before.
            await asyncio.sleep(0.15)
    assert await issuing is None
    tokens = "SELECT 1 FROM reset_tokens r JOIN users u ON u.id = r.user_id WHERE u.id = :id"
    assert not await sql(tokens, id=uuid.UUID(user.id).bytes)


async def test_the_token_of_a_disabled_account_is_refused_and_enables_nothing(
    api: httpx.AsyncClient, user: Any, reset_token: Any, sql: Any
) -> None:
    token = await reset_token(user.email)
    await sql("UPDATE users SET status = 'disabled' WHERE email = :email", email=user.email)
    assert_problem(await reset(api, token), 400, "invalid-reset-token")


async def test_a_reset_opens_a_login_that_guessing_had_slowed_down(start: Any, user: Any, reset_token: Any) -> None:
    client = await start(login_free_failures=1)
    for _ in range(2):
        await login_status(client, user.email, "not the password")
    assert await login_status(client, user.email, user.password) == 429
    assert (await reset(client, await reset_token(user.email))).status_code == 204
    assert await login_status(client, user.email, NEW) == 200


async def test_a_flood_of_requests_for_one_address_sends_few_mails(
    start: Any, user: Any, inbox: Any, deliver: Any
) -> None:
    client = await start(forgot_per_email_per_hour=2)
    for _ in range(6):
        assert (await forgot(client, user.email)).status_code == 202
    await deliver()
    assert len(inbox.texts_for(user.email)) == 2


async def test_one_address_that_asks_too_often_is_refused_whatever_it_asks(
    start: Any, user: Any, new_email: Callable[[], str], sql: Any
) -> None:
    await sql("DELETE FROM rate_counters")
    client = await start(forgot_per_address_per_hour=2, resets_per_address_per_hour=2)
    statuses = [
        (await forgot(client, email)).status_code for email in (new_email(), new_email(), user.email, new_email())
    ]
    assert statuses == [202, 202, 429, 429]
    assert [(await reset(client, "x")).status_code for _ in range(3)] == [400, 400, 429]
    await sql("DELETE FROM rate_counters")


async def test_a_mail_server_that_refuses_is_asked_again_with_a_new_token(
    api: httpx.AsyncClient, user: Any, inbox: Any, deliver: Any, sql: Any
) -> None:
    inbox.refusing = True
    try:
        assert (await forgot(api, user.email)).status_code == 202
        await deliver()
        (job,) = await sql("SELECT attempts FROM mail_jobs WHERE email = :email", email=user.email)
        assert job["attempts"] == 1
        hashes = "SELECT r.hash FROM reset_tokens r JOIN users u ON u.id = r.user_id WHERE u.email = :email"
        (first,) = await sql(hashes, email=user.email)
    finally:
        inbox.refusing = False
    await sql("UPDATE mail_jobs SET due_at = UTC_TIMESTAMP(6)")
    await deliver()
    (second,) = await sql(hashes, email=user.email)
    assert first != second
    assert len(inbox.texts_for(user.email)) == 1
    assert not await sql("SELECT id FROM mail_jobs WHERE email = :email", email=user.email)


async def test_a_mail_that_nobody_takes_is_given_up_after_five_tries(
    user: Any, inbox: Any, deliver: Any, sql: Any, api: httpx.AsyncClient
) -> None:
    inbox.refusing = True
    try:
        await forgot(api, user.email)
        for attempt in range(1, 6):
            await sql("UPDATE mail_jobs SET due_at = UTC_TIMESTAMP(6)")
            await deliver()
            rows = await sql("SELECT attempts FROM mail_jobs WHERE email = :email", email=user.email)
            assert [row["attempts"] for row in rows] == ([attempt] if attempt < 5 else [])
    finally:
        inbox.refusing = False


async def test_two_workers_send_each_mail_once(build: Any, register: Any, api: httpx.AsyncClient, inbox: Any) -> None:
    accounts = [await register() for _ in range(6)]
    for account in accounts:
        await forgot(api, account.email)
    workers = [(await build()).mail_delivery for _ in range(2)]

    async def drain(delivery: Any) -> None:
        while await delivery.deliver_next():
            pass

    await asyncio.gather(*(drain(worker) for worker in workers))
    assert [len(inbox.texts_for(account.email)) for account in accounts] == [1] * 6


async def test_a_mail_whose_worker_died_is_taken_by_another(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, resources: Any, user: Any, inbox: Any, deliver: Any, sql: Any
) -> None:
    await deliver()
    await forgot(api, user.email)
    claimed = await resources.database.transaction(resources.mail_delivery._claim)
    assert claimed is not None
    await deliver()
    assert not inbox.texts_for(user.email)
    await sql("UPDATE mail_jobs SET due_at = due_at - INTERVAL 61 SECOND WHERE email = :email", email=user.email)
    await deliver()
    assert len(inbox.texts_for(user.email)) == 1


async def test_the_token_is_nowhere_in_the_database(user: Any, reset_token: Any, resources: Any, sql: Any) -> None:
    token = await reset_token(user.email)
    for table in ("reset_tokens", "mail_jobs", "audit_events", "outbox_events", "rate_counters"):
        assert token not in str(await sql(f"SELECT * FROM {table}"))  # noqa: S608 - names of tables, from the lines above
