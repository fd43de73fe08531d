"""POST /v1/users."""

import asyncio
import unicodedata
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem

PASSWORD = "a bicycle for two fish"


def body(email: str, **changes: Any) -> dict[str, Any]:
    return {"email": email, "password": PASSWORD, "name": "Ann", **changes}


def errors_of(problem: dict[str, Any]) -> list[dict[str, str]]:
    """The refused members of a problem."""
    errors: list[dict[str, str]] = problem["errors"]
    return errors


async def test_registering_shows_the_user_and_where_to_read_it(
    api: httpx.AsyncClient, new_email: Callable[[], str]
) -> None:
    email = new_email()
    answer = await api.post("/v1/users", json=body(email))
    assert answer.status_code == 201
    user = answer.json()
    assert set(user) == {"id", "email", "name", "role", "status", "createdAt", "updatedAt"}
    assert (user["email"], user["name"], user["role"], user["status"]) == (email, "Ann", "user", "active")
    assert uuid.UUID(user["id"]).version == 7
    assert user["createdAt"].endswith("Z")
    assert user["createdAt"] == user["updatedAt"]
    assert answer.headers["location"] == f"/v1/users/{user['id']}"
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("change", [str.upper, str.title, str])
async def test_one_mailbox_has_one_account_however_it_is_spelt(
    api: httpx.AsyncClient, new_email: Callable[[], str], change: Callable[[str], str]
) -> None:
    email = new_email()
    first = await api.post("/v1/users", json=body(change(email)))
    assert first.json()["email"] == email
    assert_problem(await api.post("/v1/users", json=body(email)), 409, "email-taken")
    login = await api.post("/v1/auth/login", json={"email": change(email), "password": PASSWORD})
    assert login.status_code == 200


@pytest.mark.parametrize("local", ["ådmin", "admın", "ａdmin", "adm\u0456n"])
async def test_a_local_part_that_collates_like_another_is_refused(api: httpx.AsyncClient, local: str) -> None:
    # CVE-2019-19844: a mail server or a collation may take such an address for "admin".
    assert_problem(await api.post("/v1/users", json=body(f"{local}@example.com")), 422, "invalid-request")


async def test_a_foreign_domain_is_kept_in_its_ascii_form(api: httpx.AsyncClient, new_email: Callable[[], str]) -> None:
    local = new_email().split("@", maxsplit=1)[0]
    answer = await api.post("/v1/users", json=body(f"{local}@bücher.example"))
    assert answer.json()["email"] == f"{local}@xn--bcher-kva.example"
    again = await api.post("/v1/users", json=body(f"{local}@xn--bcher-kva.example"))
    assert_problem(again, 409, "email-taken")


@pytest.mark.parametrize(
    "email",
    ["", "no-at-sign", "@example.com", "a@", "a@b", "a b@example.com", "a@exam ple.com", "a@example.com\r\nBcc: x@y.z",
     "Ann <ann@example.com>", "a@example.com, b@example.com",
     "a" * 65 + "@example.com", f"a@{'b' * 250}.com", "a@[127.0.0.1]"],
)  # fmt: skip
async def test_what_is_no_address_is_refused(api: httpx.AsyncClient, email: str) -> None:
    problem = assert_problem(await api.post("/v1/users", json=body(email)), 422, "invalid-request")
    assert [error["pointer"] for error in problem["errors"]] == ["/email"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "line\nbreak", "nul\0", None, 7, ["Ann"]])
async def test_what_is_no_name_is_refused(api: httpx.AsyncClient, new_email: Callable[[], str], name: object) -> None:
    problem = assert_problem(await api.post("/v1/users", json=body(new_email(), name=name)), 422, "invalid-request")
    assert [error["pointer"] for error in problem["errors"]] == ["/name"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("member", ["role", "status", "id", "createdAt", "isAdmin", "passwordHash"])
async def test_nobody_chooses_what_the_service_decides(
    api: httpx.AsyncClient, new_email: Callable[[], str], member: str
) -> None:
    email = new_email()
    problem = assert_problem(await api.post("/v1/users", json=body(email, **{member: "admin"})), 422, "invalid-request")
    assert errors_of(problem)[0]["pointer"] == f"/{member}"
    login = await api.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert_problem(login, 401, "invalid-credentials")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("eleven char", "at least 12"),
        ("x1!" * 43, "at most 128"),
        ("password1234", "common"),
        ("PassWord1234", "common"),
        ("aaaaaaaaaaaaaaa", "repetition"),
        ("abcdefghijklmnop", "sequence"),
        ("ann.example@example.com", "e-mail"),
        ("Ann The Example", "name"),
        ("movie-package-suite", "service"),
    ],
)
async def test_a_password_that_is_guessed_first_is_refused_with_the_reason(
    api: httpx.AsyncClient, password: str, reason: str
) -> None:
    sent = {"email": "ann.example@example.com", "password": password, "name": "Ann The Example"}
    problem = assert_problem(await api.post("/v1/users", json=sent), 422, "invalid-request")
    errors: Any = problem["errors"]
    assert [error["pointer"] for error in errors] == ["/password"]
    assert reason in errors[0]["message"]


@pytest.mark.parametrize(
    "password",
    ["twelve chars", "🙂" * 6 + "🙃" * 6, "ÄÖÜ äöü ßßß ñ",
     "spaces   only?   yes", "with\0nul inside", "x1! y2? " * 16, "ｆｕｌｌ ｗｉｄｔｈ ok"],
)  # fmt: skip
async def test_any_characters_make_a_password(
    api: httpx.AsyncClient, new_email: Callable[[], str], password: str
) -> None:
    email = new_email()
    assert (await api.post("/v1/users", json=body(email, password=password))).status_code == 201
    login = await api.post("/v1/auth/login", json={"email": email, "password": password})
    assert login.status_code == 200


async def test_length_is_counted_after_normalisation_and_both_spellings_log_in(
    api: httpx.AsyncClient, new_email: Callable[[], str]
) -> None:
    composed = "Ångström öäü"
    decomposed = unicodedata.normalize("NFD", composed)
    assert (len(composed), len(decomposed)) == (12, 17)
    email = new_email()
    assert (await api.post("/v1/users", json=body(email, password=decomposed))).status_code == 201
    for spelling in (composed, decomposed):
        login = await api.post("/v1/auth/login", json={"email": email, "password": spelling})
        assert login.status_code == 200
    short = unicodedata.normalize("NFD", "Ångström öä")
    problem = assert_problem(
        await api.post("/v1/users", json=body(new_email(), password=short)), 422, "invalid-request"
    )
    assert "at least 12" in errors_of(problem)[0]["message"]


async def test_of_fifty_registrations_at_once_on_two_replicas_one_wins(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, new_email: Callable[[], str]
) -> None:
    email = new_email()
    replicas = [api, other_api] * 25
    answers = await asyncio.gather(*(replica.post("/v1/users", json=body(email)) for replica in replicas))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "email-taken")


async def test_a_repeated_key_gives_the_first_answer_again(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, new_email: Callable[[], str]
) -> None:
    sent = body(new_email())
    key = {"Idempotency-Key": f"key-{uuid.uuid4()}"}
    first = await api.post("/v1/users", json=sent, headers=key)
    again = await other_api.post("/v1/users", json=sent, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["cache-control"] == "private, no-store"
    other = await api.post("/v1/users", json=body(new_email()), headers=key)
    assert_problem(other, 422, "idempotency-key-reused")


async def test_fifty_repetitions_at_once_make_one_user(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, new_email: Callable[[], str]
) -> None:
    sent = body(new_email())
    key = {"Idempotency-Key": f"key-{uuid.uuid4()}"}
    replicas = [api, other_api] * 25
    answers = await asyncio.gather(*(replica.post("/v1/users", json=sent, headers=key) for replica in replicas))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "idempotency-in-flight")


@pytest.mark.parametrize("key", ["", "with space", "x" * 256])
async def test_a_key_that_is_no_key_is_refused(api: httpx.AsyncClient, new_email: Callable[[], str], key: str) -> None:
    answer = await api.post("/v1/users", json=body(new_email()), headers={"Idempotency-Key": key})
    problem = assert_problem(answer, 422, "invalid-request")
    assert errors_of(problem)[0]["pointer"] == "Idempotency-Key"


async def test_registrations_from_one_address_are_limited_over_all_replicas(
    start: Any, new_email: Callable[[], str], sql: Any
) -> None:
    first, second = await start(registrations_per_address_per_hour=3), await start(registrations_per_address_per_hour=3)
    await sql("DELETE FROM rate_counters")
    answers = [await replica.post("/v1/users", json=body(new_email())) for replica in (first, second, first, second)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert_problem(answers[-1], 429, "too-many-requests")
    assert 0 < int(answers[-1].headers["retry-after"]) <= 3600
    assert answers[-1].headers["ratelimit-policy"] == '"registration";q=3;w=3600'
    assert answers[-1].headers["ratelimit"].startswith('"registration";r=0;t=')
    await sql(
        "UPDATE rate_counters SET started_at = started_at - INTERVAL 1 HOUR, expires_at = expires_at - INTERVAL 1 HOUR"
    )
    assert (await first.post("/v1/users", json=body(new_email()))).status_code == 201
    await sql("DELETE FROM rate_counters")
