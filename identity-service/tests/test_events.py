"""The events that this service stores with its changes, against their contracts."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from chassis.events.envelope import decode
from chassis.events.topology import contracts_directory

REVOKED, CHANGED, DELETED = "identity.session.revoked.v1", "identity.user.changed.v1", "identity.user.deleted.v1"
CONTRACTS = contracts_directory() / "events"


def check(document: Any) -> None:
    schema = json.loads((CONTRACTS / f"{document['type']}.schema.json").read_text())
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(document)


@pytest.fixture
def stored(sql: Any) -> Any:
    """The events about an account that wait in the outbox, oldest first, each checked against its contract."""

    async def read(account: Any) -> list[dict[str, Any]]:
        rows = await sql("SELECT body FROM outbox_events WHERE body LIKE :id ORDER BY id", id=f"%{account.id}%")
        documents = [json.loads(row["body"]) for row in rows]
        for document in documents:
            check(document)
            decode(json.dumps(document).encode())
        return documents

    return read


def sid(account: Any) -> str:
    return str(jwt.decode(account.access_token, options={"verify_signature": False})["sid"])


async def test_ending_a_session_names_it_until_its_tokens_have_expired(
    api: httpx.AsyncClient, user: Any, stored: Any
) -> None:
    await api.post("/v1/auth/logout", headers={**user.bearer, "X-Request-Id": "why-1"})
    (event,) = await stored(user)
    assert (event["type"], event["subject"]) == (REVOKED, f"session/{sid(user)}")
    assert (event["data"]["sid"], event["data"]["userId"]) == (sid(user), user.id)
    assert event["correlationid"] == "why-1"
    left = datetime.fromisoformat(event["data"]["until"]) - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(seconds=605)


async def test_a_replay_and_a_password_change_end_sessions_one_by_one(
    api: httpx.AsyncClient, user: Any, log_in: Any, stored: Any, sql: Any
) -> None:
    other, idle = await log_in(user), await log_in(user)
    await sql(
        "UPDATE sessions SET access_expires_at = access_expires_at - INTERVAL 1 HOUR WHERE id = :id",
        id=uuid.UUID(sid(idle)).bytes,
    )
    body = {"currentPassword": user.password, "newPassword": "four cats in a canoe"}
    assert (await api.put("/v1/users/me/password", json=body, headers=user.bearer)).status_code == 204
    # No event for a session whose tokens have all expired: nobody could use it anyway.
    assert [event["data"]["sid"] for event in await stored(user)] == [sid(other)]


async def test_what_concerns_the_whole_user_raises_the_least_version(  # noqa: PLR0913 - fixtures
    api: httpx.AsyncClient, admin: Any, user: Any, log_in: Any, stored: Any, reset_token: Any
) -> None:
    await api.patch(f"/v1/users/{user.id}", json={"role": "admin"}, headers=admin.bearer)
    await api.patch(f"/v1/users/{user.id}", json={"status": "disabled"}, headers=admin.bearer)
    await api.patch(f"/v1/users/{user.id}", json={"status": "active", "role": "user"}, headers=admin.bearer)
    reset = {"token": await reset_token(user.email), "newPassword": user.password}
    assert (await api.post("/v1/auth/password/reset", json=reset)).status_code == 204
    await api.delete("/v1/auth/sessions", headers=(await log_in(user)).bearer)
    await api.patch(f"/v1/users/{user.id}", json={"name": "No event"}, headers=admin.bearer)
    await api.delete(f"/v1/users/{user.id}", headers=admin.bearer)
    events = await stored(user)
    assert [event["type"] for event in events] == [CHANGED] * 5 + [DELETED]
    assert {event["subject"] for event in events} == {f"user/{user.id}"}
    assert [event["data"]["revision"] for event in events] == [1, 2, 3, 4, 5, 6]
    facts = [(e["data"]["status"], e["data"]["roles"], e["data"]["minVersion"]) for e in events[:-1]]
    assert facts == [
        ("active", ["user", "admin"], 2),
        ("disabled", ["user", "admin"], 3),
        ("active", ["user"], 4),
        ("active", ["user"], 5),
        ("active", ["user"], 6),
    ]


async def test_no_address_token_or_hash_goes_on_the_bus(sql: Any, user: Any, api: httpx.AsyncClient) -> None:
    await api.delete("/v1/auth/sessions", headers=user.bearer)
    rows = await sql("SELECT body, headers FROM outbox_events")
    text = str(rows)
    assert "@example.com" not in text
    assert "v1$" not in text
    assert "rt_" not in text


async def test_a_refused_change_leaves_no_event(api: httpx.AsyncClient, user: Any, stranger: Any, stored: Any) -> None:
    await api.patch(f"/v1/users/{stranger.id}", json={"role": "admin"}, headers=user.bearer)
    await api.delete(f"/v1/users/{stranger.id}", headers=user.bearer)
    assert await stored(stranger) == []
