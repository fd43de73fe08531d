"""POST /v1/auth/login, and what protects it from guessing."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import bcrypt
import httpx
import jwt
import pytest

from chassis.testing.http import assert_problem

WRONG = "a tandem for two fish"


def comparable(answer: httpx.Response) -> tuple[Any, ...]:
    """All of an answer that a client could tell two cases apart by, but what differs for every request."""
    document = {name: value for name, value in answer.json().items() if name != "requestId"}
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    return answer.status_code, document, headers


async def try_login(client: httpx.AsyncClient, email: str, password: str) -> httpx.Response:
    return await client.post("/v1/auth/login", json={"email": email, "password": password})


async def test_a_login_gives_a_pair_that_says_who_and_nothing_personal(api: httpx.AsyncClient, user: Any) -> None:
    answer = await try_login(api, user.email, user.password)
    pair = answer.json()
    assert set(pair) == {"accessToken", "refreshToken", "tokenType", "expiresIn"}
    assert (pair["tokenType"], pair["expiresIn"]) == ("Bearer", 600)
    assert answer.headers["cache-control"] == "private, no-store"
    header = jwt.get_unverified_header(pair["accessToken"])
    claims = jwt.decode(pair["accessToken"], options={"verify_signature": False})
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert set(header) == {"alg", "typ", "kid"}
    assert set(claims) == {
        "iss", "aud", "sub", "client_id", "sid", "jti", "iat", "nbf", "exp", "auth_time", "amr", "roles", "ver",
    }  # fmt: skip
    assert claims["sub"] == user.id
    assert claims["exp"] - claims["iat"] == 600
    assert claims["roles"] == ["user"]
    assert user.email not in str(claims)


async def test_unknown_wrong_and_disabled_cannot_be_told_apart(
    api: httpx.AsyncClient, user: Any, stranger: Any, new_email: Callable[[], str], sql: Any
) -> None:
    await sql("UPDATE users SET status = 'disabled' WHERE email = :email", email=stranger.email)
    answers = [
        await try_login(api, new_email(), WRONG),
        await try_login(api, user.email, WRONG),
        await try_login(api, stranger.email, stranger.password),
    ]
    assert_problem(answers[0], 401, "invalid-credentials")
    assert comparable(answers[0]) == comparable(answers[1]) == comparable(answers[2])


async def test_unknown_addresses_cost_as_much_hashing_as_known_ones(
    api: httpx.AsyncClient, user: Any, new_email: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: list[bytes] = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        costs.append(hashed[:7])
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    await try_login(api, user.email, WRONG)
    known, costs[:] = list(costs), []
    await try_login(api, new_email(), WRONG)
    assert known == costs == [b"$2b$04$"]


async def test_passwords_that_differ_after_72_bytes_are_different(api: httpx.AsyncClient, register: Any) -> None:
    account = await register(password="x1! " * 31 + "1234")
    assert len(account.password) == 128
    assert_problem(await try_login(api, account.email, account.password[:-1] + "5"), 401, "invalid-credentials")
    assert_problem(await try_login(api, account.email, account.password + "0" * 800), 401, "invalid-credentials")


async def test_nul_in_a_password_is_significant(api: httpx.AsyncClient, register: Any) -> None:
    account = await register(password="before nul\0after nul")
    assert_problem(await try_login(api, account.email, "before nul\0after NUL"), 401, "invalid-credentials")
    assert_problem(await try_login(api, account.email, "before nul"), 401, "invalid-credentials")


async def test_a_password_does_not_wear_out(api: httpx.AsyncClient, user: Any, sql: Any) -> None:
    long_ago = (
        "UPDATE users SET created_at = created_at - INTERVAL 20 YEAR, updated_at = created_at WHERE email = :email"
    )
    await sql(long_ago, email=user.email)
    assert (await try_login(api, user.email, user.password)).status_code == 200


@pytest.mark.parametrize(
    "stored", ["", "v1$1$$2b$04$short", "v9$1$x", "v1$77$$2b$04$" + "a" * 53, "v1$1$$2b$31$" + "a" * 53]
)
async def test_a_stored_hash_that_cannot_be_checked_refuses_like_a_wrong_password(
    api: httpx.AsyncClient, user: Any, sql: Any, stored: str
) -> None:
    await sql("UPDATE users SET password_hash = :stored WHERE email = :email", stored=stored, email=user.email)
    async with asyncio.timeout(5):
        assert_problem(await try_login(api, user.email, user.password), 401, "invalid-credentials")


@pytest.mark.parametrize("value", [0, 1, True, None, [], {}, 1.5])
async def test_no_number_is_ever_compared_with_text(api: httpx.AsyncClient, user: Any, value: object) -> None:
    # In MySQL 0 equals any text that does not begin with a digit.
    for body in (
        {"email": value, "password": user.password},
        {"email": user.email, "password": value},
    ):
        assert_problem(await api.post("/v1/auth/login", json=body), 422, "invalid-request")
    assert_problem(await api.post("/v1/auth/refresh", json={"refreshToken": value}), 422, "invalid-request")
    reset = {"token": value, "newPassword": user.password}
    assert_problem(await api.post("/v1/auth/password/reset", json=reset), 422, "invalid-request")


async def test_no_problem_ever_echoes_a_password(api: httpx.AsyncClient, user: Any) -> None:
    secret = "do-not-echo-this-7361"
    for path, body in (
        ("/v1/users", {"password": secret}),
        ("/v1/users", {"email": "x", "password": secret, "name": "n", "more": secret}),
        ("/v1/auth/login", {"password": secret}),
        ("/v1/auth/login", {"email": {"a": secret}, "password": [secret]}),
        ("/v1/auth/password/reset", {"newPassword": secret}),
        ("/v1/auth/refresh", {"refreshToken": [secret]}),
    ):
        answer = await api.post(path, json=body)
        assert_problem(answer, 422, "invalid-request")
        assert secret not in answer.text
    answer = await api.put("/v1/users/me/password", json={"newPassword": secret}, headers=user.bearer)
    assert_problem(answer, 422, "invalid-request")
    assert secret not in answer.text


async def test_guessing_gets_slower_for_known_and_unknown_alike(
    start: Any, user: Any, new_email: Callable[[], str], sql: Any
) -> None:
    client = await start(login_free_failures=3)
    seen = []
    for email in (user.email, new_email()):
        answers = [await try_login(client, email, WRONG) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert_problem(answers[-1], 429, "too-many-requests")
        assert answers[-1].headers["retry-after"] == "1"
        seen.append(comparable(answers[-1]))
    assert seen[0] == seen[1]
    # The right password is told nothing either, or the limit would confirm guesses.
    await sql("UPDATE login_attempts SET last_failure_at = UTC_TIMESTAMP(6) WHERE failures >= 3")
    assert comparable(await try_login(client, user.email, user.password)) == seen[0]
    await sql("UPDATE login_attempts SET last_failure_at = last_failure_at - INTERVAL 1 SECOND")
    assert_problem(await try_login(client, user.email, WRONG), 401, "invalid-credentials")
    assert (await try_login(client, user.email, WRONG)).headers["retry-after"] == "2"
    await sql("UPDATE login_attempts SET last_failure_at = last_failure_at - INTERVAL 2 SECOND")
    assert (await try_login(client, user.email, user.password)).status_code == 200
    # Success clears: the next mistakes are free again.
    assert (await try_login(client, user.email, WRONG)).status_code == 401
    assert (await try_login(client, user.email, WRONG)).status_code == 401


async def test_fifty_parallel_guesses_over_two_replicas_get_no_further_than_the_free_ones(
    start: Any, user: Any
) -> None:
    replicas = [await start(login_free_failures=3), await start(login_free_failures=3)] * 25
    answers = await asyncio.gather(*(try_login(replica, user.email, WRONG) for replica in replicas))
    # While they run a delay of one or two seconds may pass, and one more guess with it.
    checked = [answer for answer in answers if answer.status_code == 401]
    assert 3 <= len(checked) <= 5
    assert {answer.status_code for answer in answers} == {401, 429}


async def test_fifty_parallel_logins_with_the_right_password_all_succeed(start: Any, user: Any) -> None:
    replicas = [await start(login_free_failures=5), await start(login_free_failures=5)] * 25
    answers = await asyncio.gather(*(try_login(replica, user.email, user.password) for replica in replicas))
    assert {answer.status_code for answer in answers} == {200}


async def test_failures_from_elsewhere_never_lock_the_owner_out(build: Any, user: Any) -> None:
    from identity.domain.errors import InvalidCredentialsError, TooManyRequestsError
    from identity.domain.sessions import Client

    resources = await build(login_account_failures_per_day=20)

    async def guess(ip: str, password: str) -> str:
        try:
            await resources.authentication.log_in(user.email, password, Client(ip, None))
        except (InvalidCredentialsError, TooManyRequestsError) as error:
            return error.code
        return "in"

    for number in range(20):
        await guess(f"198.51.100.{number}", WRONG)
    # Under attack: a new address gets one free failure instead of ten, …
    assert [await guess("203.0.113.9", WRONG) for _ in range(2)] == ["invalid-credentials", "too-many-requests"]
    # … one whose owner has logged in before keeps all of them, and nobody who knows the password is refused.
    assert await guess("127.0.0.1", WRONG) == "invalid-credentials"
    assert await guess("127.0.0.1", WRONG) == "invalid-credentials"
    assert await guess("127.0.0.1", user.password) == "in"
    assert await guess("203.0.113.10", user.password) == "in"


async def test_one_address_cannot_try_accounts_without_end(
    start: Any, new_email: Callable[[], str], user: Any, sql: Any
) -> None:
    await sql("DELETE FROM rate_counters")
    client = await start(login_failures_per_address_per_10_minutes=5)
    # Successes are given back.
    for _ in range(8):
        assert (await try_login(client, user.email, user.password)).status_code == 200
    codes = [(await try_login(client, new_email(), WRONG)).status_code for _ in range(7)]
    assert codes == [401] * 5 + [429] * 2
    await sql("DELETE FROM rate_counters")


async def test_one_password_cannot_be_tried_on_accounts_without_end(
    start: Any, new_email: Callable[[], str], user: Any, stranger: Any, sql: Any
) -> None:
    await sql("DELETE FROM rate_counters")
    replicas = [await start(login_accounts_per_address_per_10_minutes=5) for _ in range(2)]
    for _ in range(8):
        assert (await try_login(replicas[0], user.email, user.password)).status_code == 200
    emails = [new_email() for _ in range(50)]
    for _ in range(2):
        answers = await asyncio.gather(*(try_login(replicas[n % 2], email, WRONG) for n, email in enumerate(emails)))
        # The same five again: an account that was tried counts once, one that was refused stays refused.
        tried = {email for email, answer in zip(emails, answers, strict=True) if answer.status_code == 401}
        assert len(tried) == 5
        emails = [*tried, *(email for email in emails if email not in tried)]
    assert (await try_login(replicas[0], user.email, user.password)).status_code == 200
    refused = await try_login(replicas[0], stranger.email, stranger.password)
    assert_problem(refused, 429, "too-many-requests")
    assert refused.headers["ratelimit-policy"] == '"login-accounts";q=5;w=600'
    await sql("DELETE FROM rate_counters")


async def test_an_outdated_hash_is_renewed_at_login(api: httpx.AsyncClient, start: Any, user: Any, sql: Any) -> None:
    costly = await start(
        bcrypt_cost=5,
        password_pepper="another-pepper-0123456789-0123456789",
        password_pepper_id=2,
        password_peppers_old="1:pepper-of-the-test-suite-0123456789abcdef",
    )
    stored = "SELECT password_hash AS hash FROM users WHERE email = :email"
    assert (await sql(stored, email=user.email))[0]["hash"].startswith("v1$1$$2b$04$")
    assert (await try_login(costly, user.email, user.password)).status_code == 200
    renewed = (await sql(stored, email=user.email))[0]["hash"]
    assert renewed.startswith("v1$2$$2b$05$")
    assert (await try_login(costly, user.email, user.password)).status_code == 200
    assert (await sql(stored, email=user.email))[0]["hash"] == renewed


async def test_renewing_a_hash_does_not_undo_a_parallel_password_change(resources: Any, user: Any, sql: Any) -> None:
    from identity.storage import users

    before = await resources.database.read(lambda session: users.find_by_email(session, user.email))
    await sql("UPDATE users SET password_hash = 'v1$1$$2b$04$changed' WHERE email = :email", email=user.email)
    done = await resources.database.transaction(
        lambda session: users.replace_password(session, before.id, before.password_hash, "stale")
    )
    assert not done


async def test_a_session_never_starts_with_a_password_that_was_just_replaced(
    resources: Any, user: Any, sql: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from identity.domain.errors import InvalidCredentialsError
    from identity.domain.sessions import Client

    verify = resources.hasher.verify

    async def verify_while_somebody_resets(password: str, stored: str | None) -> bool:
        verified: bool = await verify(password, stored)
        await sql("UPDATE users SET password_hash = 'v1$1$x' WHERE email = :email", email=user.email)
        return verified

    monkeypatch.setattr(resources.hasher, "verify", verify_while_somebody_resets)
    with pytest.raises(InvalidCredentialsError):
        await resources.authentication.log_in(user.email, user.password, Client("127.0.0.1", None))


async def test_a_storm_is_refused_with_503_and_leaves_other_requests_quick(start: Any, user: Any) -> None:
    client = await start(bcrypt_cost=10, hash_queue=4, hash_threads=1, login_free_failures=100)
    others: list[float] = []
    storm = asyncio.gather(*(try_login(client, f"nobody{n}@example.com", WRONG) for n in range(30)))
    while not storm.done():
        begin = time.perf_counter()
        assert (await client.get("/v1/users/me", headers=user.bearer)).status_code == 200
        others.append(time.perf_counter() - begin)
        await asyncio.sleep(0.005)
    answers = await storm
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert {answer.status_code for answer in answers} == {401, 503}
    assert_problem(refused[0], 503, "overloaded")
    assert refused[0].headers["retry-after"] == "2"
    assert sorted(others)[len(others) // 2] < 0.5
    # A refusal for overload costs the account nothing: the attempt did not count.
    assert (await try_login(client, user.email, user.password)).status_code == 200


async def test_logins_are_audited_without_secrets(
    api: httpx.AsyncClient, user: Any, sql: Any, new_email: Callable[[], str]
) -> None:
    request_id = f"audit-{user.id}"
    unknown = new_email()
    for email, password in ((user.email, user.password), (user.email, WRONG), (unknown, WRONG)):
        body = {"email": email, "password": password}
        await api.post("/v1/auth/login", json=body, headers={"X-Request-Id": request_id})
    rows = await sql("SELECT * FROM audit_events WHERE request_id = :rid ORDER BY id", rid=request_id)
    assert [(row["action"], row["result"]) for row in rows] == [
        ("login", "success"), ("login", "failure"), ("login", "failure"),
    ]  # fmt: skip
    assert rows[1]["subject_id"] == rows[0]["subject_id"] == rows[0]["actor_id"]
    assert rows[2]["subject_id"] is None
    assert all(row["ip"] == "127.0.0.1" for row in rows)
    text = str(rows)
    assert WRONG not in text
    assert unknown not in text
    assert user.email not in text
