"""Reading, editing, listing and erasing users."""

import asyncio
import itertools
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chassis.testing.http import assert_problem


async def patch(client: httpx.AsyncClient, account: Any, path: str, **body: Any) -> httpx.Response:
    return await client.patch(f"/v1/users/{path}", json=body, headers=account.bearer)


async def login_status(client: httpx.AsyncClient, account: Any) -> int:
    answer = await client.post("/v1/auth/login", json={"email": account.email, "password": account.password})
    return answer.status_code


# Reading


async def test_one_reads_oneself_by_me_and_by_id(api: httpx.AsyncClient, user: Any) -> None:
    by_me = await api.get("/v1/users/me", headers=user.bearer)
    by_id = await api.get(f"/v1/users/{user.id}", headers=user.bearer)
    assert (by_me.status_code, by_id.status_code) == (200, 200)
    assert by_me.json() == by_id.json()
    assert by_me.json()["id"] == user.id
    assert by_me.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_somebody_else_is_forbidden_whether_they_exist_or_not(
    api: httpx.AsyncClient, user: Any, stranger: Any, method: str
) -> None:
    answers = []
    for other, sent in itertools.product((stranger.id, str(uuid.uuid4())), ({"name": "Eve"}, {"nmae": 1})):
        body = sent if method == "PATCH" else None
        answer = await api.request(method, f"/v1/users/{other}", json=body, headers=user.bearer)
        document = assert_problem(answer, 403, "forbidden")
        answers.append({k: v for k, v in document.items() if k not in ("requestId", "instance")})
    assert answers == [answers[0]] * 4


async def test_refusals_are_audited_with_who_tried_what(
    api: httpx.AsyncClient, user: Any, stranger: Any, sql: Any
) -> None:
    for method, path, body in (
        ("GET", f"/v1/users/{stranger.id}", None),
        ("PATCH", f"/v1/users/{stranger.id}", {"name": "Eve"}),
        ("PATCH", "/v1/users/me", {"role": "admin"}),
        ("DELETE", f"/v1/users/{stranger.id}", None),
        ("GET", "/v1/users", None),
    ):
        assert_problem(await api.request(method, path, json=body, headers=user.bearer), 403, "forbidden")
    rows = await sql(
        "SELECT action, subject_id FROM audit_events WHERE actor_id = :id AND detail = 'forbidden' ORDER BY id",
        id=uuid.UUID(user.id).bytes,
    )
    other, own = uuid.UUID(stranger.id).bytes, uuid.UUID(user.id).bytes
    assert [(row["action"], row["subject_id"]) for row in rows] == [
        ("user-read", other), ("user-update", other), ("user-update", own), ("user-delete", other), ("user-list", None),
    ]  # fmt: skip


async def test_an_administrator_reads_everybody_and_learns_who_does_not_exist(
    api: httpx.AsyncClient, admin: Any, user: Any
) -> None:
    answer = await api.get(f"/v1/users/{user.id}", headers=admin.bearer)
    assert answer.json()["email"] == user.email
    for method, body in (("GET", None), ("PATCH", {"name": "Eve"}), ("DELETE", None)):
        answer = await api.request(method, f"/v1/users/{uuid.uuid4()}", json=body, headers=admin.bearer)
        assert_problem(answer, 404, "user-not-found")


@pytest.mark.parametrize("identifier", ["1", "ME", "me%00", "%2e%2e", "' OR 1=1", "x%0d%0aSet-Cookie:%20a=b"])
async def test_a_path_that_is_no_id_is_refused(api: httpx.AsyncClient, admin: Any, identifier: str) -> None:
    answer = await api.get(f"/v1/users/{identifier}", headers=admin.bearer)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "set-cookie" not in answer.headers


# Editing


async def test_one_edits_ones_name(api: httpx.AsyncClient, user: Any) -> None:
    before = (await api.get("/v1/users/me", headers=user.bearer)).json()
    answer = await patch(api, user, "me", name="  Änn  ")
    assert answer.status_code == 200
    assert answer.json()["name"] == "Änn"
    assert answer.json()["updatedAt"] > before["updatedAt"]
    again = await patch(api, user, user.id, name="Änn")
    assert again.json() == answer.json()
    assert (await patch(api, user, "me")).json() == answer.json()


async def test_changing_ones_address_needs_the_password_and_tells_the_old_one(
    api: httpx.AsyncClient, user: Any, new_email: Callable[[], str], inbox: Any, deliver: Any
) -> None:
    email = new_email()
    problem = assert_problem(await patch(api, user, "me", email=email), 422, "invalid-request")
    assert problem["errors"][0]["pointer"] == "/currentPassword"  # type: ignore[index]
    wrong = await patch(api, user, "me", email=email, currentPassword="not the password")
    assert_problem(wrong, 403, "invalid-current-password")
    answer = await patch(api, user, "me", email=email.upper(), currentPassword=user.password)
    assert answer.json()["email"] == email
    assert await login_status(api, user) == 401
    user.email, old = email, user.email
    assert await login_status(api, user) == 200
    await deliver()
    assert "another e-mail address" in inbox.texts_for(old)[-1]
    assert not inbox.texts_for(email)


async def test_nobody_takes_the_address_of_another(
    api: httpx.AsyncClient, user: Any, stranger: Any, admin: Any
) -> None:
    mine = await patch(api, user, "me", email=stranger.email.upper(), currentPassword=user.password)
    assert_problem(mine, 409, "email-taken")
    assert_problem(await patch(api, admin, user.id, email=stranger.email), 409, "email-taken")


async def test_of_fifty_who_want_one_address_one_gets_it(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, admin: Any, register: Any, new_email: Callable[[], str]
) -> None:
    accounts = [await register() for _ in range(10)]
    email = new_email()
    replicas = [api, other_api] * 25
    answers = await asyncio.gather(
        *(patch(replica, admin, accounts[n % 10].id, email=email) for n, replica in enumerate(replicas))
    )
    winners = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert len(winners) == 1
    assert {answer.status_code for answer in answers} == {200, 409}


@pytest.mark.parametrize(
    "body",
    [{"role": "admin"}, {"status": "active"}, {"role": "user"}, {"name": "Eve", "role": "admin"}],
)
async def test_a_plain_user_changes_neither_role_nor_status(
    api: httpx.AsyncClient, user: Any, body: dict[str, str]
) -> None:
    for path in ("me", user.id):
        assert_problem(await patch(api, user, path, **body), 403, "forbidden")
    me = (await api.get("/v1/users/me", headers=user.bearer)).json()
    assert (me["role"], me["status"], me["name"]) == ("user", "active", "Ann Example")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"id": "x"}, "/id"),
        ({"password": "x"}, "/password"),
        ({"name": None}, "/name"),
        ({"email": None}, "/email"),
        ({"name": ""}, "/name"),
        ({"role": "root"}, "/role"),
        ({"role": ["admin"]}, "/role"),
        ({"status": "deleted"}, "/status"),
        ({"status": 1}, "/status"),
        ({"email": "nonsense"}, "/email"),
        ({"currentPassword": 7}, "/currentPassword"),
    ],
)
async def test_edits_that_are_not_as_documented_are_refused(
    api: httpx.AsyncClient, admin: Any, body: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(await patch(api, admin, "me", **body), 422, "invalid-request")
    assert pointer in [error["pointer"] for error in problem["errors"]]  # type: ignore[attr-defined]


# Roles and status


async def test_a_new_role_ends_tokens_with_the_old_one_but_not_the_session(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, admin: Any, user: Any
) -> None:
    answer = await patch(api, admin, user.id, role="admin")
    assert answer.json()["role"] == "admin"
    assert_problem(await other_api.get("/v1/users/me", headers=user.bearer), 401, "invalid-token")
    pair = (await api.post("/v1/auth/refresh", json={"refreshToken": user.refresh_token})).json()
    promoted = user.with_tokens(pair)
    assert (await other_api.get("/v1/users", headers=promoted.bearer)).status_code == 200
    await patch(api, admin, user.id, role="user")
    assert_problem(await other_api.get("/v1/users", headers=promoted.bearer), 401, "invalid-token")


async def test_disabling_ends_everything_and_enabling_asks_for_a_new_login(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, admin: Any, user: Any
) -> None:
    assert (await patch(api, admin, user.id, status="disabled")).json()["status"] == "disabled"
    assert_problem(await other_api.get("/v1/users/me", headers=user.bearer), 401, "invalid-token")
    assert await login_status(api, user) == 401
    body = {"refreshToken": user.refresh_token}
    assert_problem(await api.post("/v1/auth/refresh", json=body), 401, "invalid-refresh-token")
    assert (await patch(api, admin, user.id, status="active")).status_code == 200
    assert_problem(await api.post("/v1/auth/refresh", json=body), 401, "invalid-refresh-token")
    assert_problem(await api.get("/v1/users/me", headers=user.bearer), 401, "invalid-token")
    assert await login_status(api, user) == 200


async def test_an_administrator_changes_the_address_of_others_without_their_password(
    api: httpx.AsyncClient, admin: Any, user: Any, new_email: Callable[[], str]
) -> None:
    email = new_email()
    assert (await patch(api, admin, user.id, email=email)).json()["email"] == email
    own = await patch(api, admin, admin.id, email=new_email())
    assert_problem(own, 422, "invalid-request")


# Listing


async def test_only_administrators_list_users(api: httpx.AsyncClient, user: Any) -> None:
    assert_problem(await api.get("/v1/users", headers=user.bearer), 403, "forbidden")
    assert_problem(await api.get("/v1/users"), 401, "unauthenticated")


async def test_the_list_is_narrowed_and_sorted(
    api: httpx.AsyncClient, admin: Any, register: Any, new_email: Callable[[], str]
) -> None:
    mark = uuid.uuid4().hex[:10]
    names = ["Zoë", "adam", "Ádám 50%_off", "Bob"]
    people = [
        await register(name=f"{name} {mark}", email=f"{number}-{mark}@example.com") for number, name in enumerate(names)
    ]

    async def listed(query: str) -> list[str]:
        answer = await api.get(f"/v1/users?{query}", headers=admin.bearer)
        assert answer.status_code == 200, answer.text
        return [item["email"][0] for item in answer.json()["data"]]

    assert await listed(f"q={mark}") == ["0", "1", "2", "3"]
    assert await listed(f"q={mark}&sort=-createdAt") == ["3", "2", "1", "0"]
    assert await listed(f"q={mark}&sort=-email") == ["3", "2", "1", "0"]
    assert (await listed(f"q={mark}&sort=name"))[-1] == "0"
    assert await listed(f"q={mark}&pageSize=3&pageNumber=2") == ["3"]
    assert await listed(f"q=ZO%C3%8B%20{mark}") == ["0"]
    assert await listed(f"q=50%25_off%20{mark}") == ["2"]
    assert await listed(f"q=5_%25%20{mark}") == []
    assert await listed(f"q={mark}@EXAMPLE") == ["0", "1", "2", "3"]
    assert await listed(f"email=1-{mark}@EXAMPLE.com") == ["1"]
    assert await listed(f"email=1-{mark}@example.co") == []
    assert await listed("email=%C3%A9@example.com") == []
    assert await listed(f"ids={people[2].id},{people[0].id}&ids={uuid.uuid4()}") == ["0", "2"]
    assert await listed(f"q={mark}&role=admin") == []
    await patch(api, admin, people[1].id, status="disabled", role="admin")
    assert await listed(f"q={mark}&role=admin") == ["1"]
    assert await listed(f"q={mark}&status=active") == ["0", "2", "3"]
    empty = (await api.get(f"/v1/users?q={uuid.uuid4()}", headers=admin.bearer)).json()
    assert empty == {
        "data": [],
        "pagination": {"pageNumber": 1, "pageSize": 10, "totalPages": 0, "lastPage": True, "firstPage": True},
    }


@pytest.mark.parametrize(
    "query",
    [
        "sort=password", "role=root", "status=", "ids=1", "ids=", "pageSize=0", "pageSize=101", "pageNumber=0",
        "pageNumber=" + "9" * 23, "pageNumber=1e3", "pageNumber=%D9%A1", "emial=x", "role=user&role=admin",
        "q=", "q=%00", "email=",
    ],
)  # fmt: skip
async def test_queries_that_are_not_as_documented_are_refused(api: httpx.AsyncClient, admin: Any, query: str) -> None:
    answer = await api.get(f"/v1/users?{query}", headers=admin.bearer)
    assert assert_problem(answer, 422, "invalid-request")["errors"]


# Erasing


async def test_one_erases_oneself_and_the_address_is_free_again(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, register: Any, sql: Any
) -> None:
    answer = await api.delete("/v1/users/me", headers=user.bearer)
    assert (answer.status_code, answer.content) == (204, b"")
    assert_problem(await other_api.get("/v1/users/me", headers=user.bearer), 401, "invalid-token")
    body = {"refreshToken": user.refresh_token}
    assert_problem(await api.post("/v1/auth/refresh", json=body), 401, "invalid-refresh-token")
    assert await login_status(api, user) == 401
    identifier = uuid.UUID(user.id).bytes
    assert await sql("SELECT id FROM deleted_users WHERE id = :id", id=identifier)
    for table, column in (("users", "id"), ("sessions", "user_id"), ("reset_tokens", "user_id")):
        assert not await sql(f"SELECT 1 FROM {table} WHERE {column} = :id", id=identifier)  # noqa: S608 - names of tables, from the lines above
    again = await register(email=user.email)
    assert again.id != user.id


async def test_erasing_oneself_needs_a_recent_login(api: httpx.AsyncClient, user: Any, log_in: Any, sql: Any) -> None:
    await sql(
        "UPDATE sessions SET created_at = created_at - INTERVAL 300 SECOND WHERE user_id = :id",
        id=uuid.UUID(user.id).bytes,
    )
    for path in ("me", user.id):
        answer = await api.delete(f"/v1/users/{path}", headers=user.bearer)
        assert_problem(answer, 403, "reauthentication-required")
    # A refreshed token is no new login.
    pair = (await api.post("/v1/auth/refresh", json={"refreshToken": user.refresh_token})).json()
    answer = await api.delete("/v1/users/me", headers=user.with_tokens(pair).bearer)
    assert_problem(answer, 403, "reauthentication-required")
    recent = await log_in(user)
    assert (await api.delete("/v1/users/me", headers=recent.bearer)).status_code == 204


async def test_an_administrator_erases_others_without_a_recent_login(
    api: httpx.AsyncClient, admin: Any, user: Any, sql: Any
) -> None:
    await sql(
        "UPDATE sessions SET created_at = created_at - INTERVAL 1 DAY WHERE user_id = :id", id=uuid.UUID(admin.id).bytes
    )
    assert (await api.delete(f"/v1/users/{user.id}", headers=admin.bearer)).status_code == 204
    assert_problem(await api.get(f"/v1/users/{user.id}", headers=admin.bearer), 404, "user-not-found")
    assert_problem(await api.delete(f"/v1/users/{user.id}", headers=admin.bearer), 404, "user-not-found")


async def test_erased_fifty_times_at_once_leaves_one_tombstone(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, user: Any, sql: Any
) -> None:
    answers = await asyncio.gather(
        *(replica.delete("/v1/users/me", headers=user.bearer) for replica in [api, other_api] * 25)
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 401, 404}
    rows = await sql("SELECT id FROM outbox_events WHERE aggregate = :subject", subject=f"user/{user.id}")
    assert len(rows) == 1


async def test_the_stored_answer_to_a_registration_is_erased_with_the_person(
    api: httpx.AsyncClient, user: Any, new_email: Callable[[], str], log_in: Any, sql: Any
) -> None:
    kept: dict[str, Any] = {}
    gone: dict[str, Any] = {}
    for found in (kept, gone):
        found["key"] = {"Idempotency-Key": f"key-{uuid.uuid4()}"}
        found["sent"] = {"email": new_email(), "password": user.password, "name": "Ann"}
        assert (await api.post("/v1/users", json=found["sent"], headers=found["key"])).status_code == 201
    user.email = gone["sent"]["email"]
    me = await log_in(user)
    assert (await api.delete("/v1/users/me", headers=me.bearer)).status_code == 204
    stored = str(await sql("SELECT body FROM idempotency_keys"))
    assert gone["sent"]["email"] not in stored
    assert kept["sent"]["email"] in stored
    again = await api.post("/v1/users", json=gone["sent"], headers=gone["key"])
    assert again.status_code == 201
    assert "idempotency-replayed" not in again.headers


# Export


async def test_one_downloads_all_that_is_stored_about_oneself(api: httpx.AsyncClient, user: Any, stranger: Any) -> None:
    answer = await api.get("/v1/users/me/export", headers=user.bearer)
    assert answer.status_code == 200
    data = answer.json()
    assert data["user"]["email"] == user.email
    assert len(data["sessions"]) == 1
    assert {"register", "login", "user-export"} <= {entry["action"] for entry in data["history"]}
    assert answer.headers["content-disposition"] == f'attachment; filename="user-{user.id}.json"'
    assert stranger.email not in answer.text
    assert "v1$" not in answer.text
