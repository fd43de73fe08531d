"""Signing keys: made once, rotated without a refused token, never readable from the database."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key
from sqlalchemy import text

from chassis.clock import utc_now
from chassis.errors import UnavailableError
from chassis.metrics import new_registry
from chassis.migrations import upgrade
from chassis.testing.servers import mysql_database
from identity.factory import Resources, build_resources
from identity.migrations import MIGRATIONS

Build = Callable[..., Awaitable[Resources]]


@pytest.fixture
async def fresh(make_settings: Any) -> AsyncIterator[Build]:
    """Builds replicas on a database that has no key yet."""
    with mysql_database("keys") as url:
        upgrade(MIGRATIONS, url)
        async with AsyncExitStack() as stack:

            async def make(**changes: Any) -> Resources:
                built = build_resources(make_settings(database_url=url, **changes), new_registry())
                stack.push_async_callback(built.aclose)
                return built

            yield make


async def kids(replica: Resources) -> list[str]:
    return [key["kid"] for key in (await replica.signing_keys.load())["keys"]]


async def run(replica: Resources, statement: str) -> list[Any]:
    async with replica.database.engine.begin() as connection:
        result = await connection.execute(text(statement))
        return list(result) if result.returns_rows else []


async def test_the_key_set_holds_public_parts_only_and_may_be_cached(api: httpx.AsyncClient) -> None:
    answer = await api.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    for key in answer.json()["keys"]:
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")
        # RFC 7638, section 3
        canonical = json.dumps({k: key[k] for k in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
        digest = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
        assert key["kid"] == digest


async def test_many_replicas_that_start_at_once_make_one_key(fresh: Build) -> None:
    replicas = [await fresh() for _ in range(6)]
    seen = await asyncio.gather(*(kids(replica) for replica in replicas))
    assert len({tuple(each) for each in [await kids(replica) for replica in replicas]}) == 1
    assert all(len(each) <= 1 for each in seen)
    assert len(await kids(replicas[0])) == 1


async def test_a_replica_that_looked_before_there_was_a_key_makes_no_second_one(
    fresh: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, slow = await fresh(), await fresh()
    look = slow.signing_keys._published_keys

    async def look_and_be_overtaken(session: Any) -> Any:
        found = await look(session)
        await quick.signing_keys.load()
        return found

    monkeypatch.setattr(slow.signing_keys, "_published_keys", look_and_be_overtaken)
    (kid,) = await kids(slow)
    assert await kids(quick) == [kid]


async def test_two_rotations_at_once_make_one_key(fresh: Build) -> None:
    first, second = await fresh(), await fresh()
    await kids(first)
    outcomes = await asyncio.gather(*(replica.signing_keys.rotate() for replica in [first, second] * 5))
    assert 1 <= sum(outcomes) <= 10
    numbers = [row.number for row in await run(first, "SELECT number FROM signing_keys ORDER BY number")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == 1 + sum(outcomes)


async def test_a_new_key_signs_only_after_everybody_could_fetch_it(fresh: Build) -> None:
    replica = await fresh()
    (old,) = await kids(replica)
    assert await replica.signing_keys.rotate()
    old_and_new = await kids(replica)
    assert old_and_new[0] == old
    assert (await replica.signing_keys.signing_key())[0] == old
    assert [state for _, state in await replica.signing_keys.list_states()] == ["active", "published"]
    await run(
        replica,
        "UPDATE signing_keys SET activates_at = activates_at - INTERVAL 601 SECOND, "
        "removes_at = removes_at - INTERVAL 601 SECOND",
    )
    assert await kids(replica) == old_and_new
    assert (await replica.signing_keys.signing_key())[0] == old_and_new[1]
    assert [state for _, state in await replica.signing_keys.list_states()] == ["retiring", "active"]
    # The old key stays until the last token signed with it has expired: reload 60, token 600, leeway 5, cache 300.
    (row,) = await run(
        replica,
        "SELECT TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(6), removes_at) AS left_over FROM signing_keys "
        "WHERE removes_at IS NOT NULL",
    )
    assert 955 <= row.left_over <= 965
    await run(replica, "UPDATE signing_keys SET removes_at = UTC_TIMESTAMP(6) WHERE removes_at IS NOT NULL")
    assert await kids(replica) == old_and_new[1:]
    await replica.housekeeping.sweep()
    assert len(await run(replica, "SELECT kid FROM signing_keys")) == 1


async def test_keys_are_rotated_when_they_are_thirty_days_old(fresh: Build) -> None:
    replica = await fresh()
    await kids(replica)
    assert not await replica.signing_keys.rotate(only_if_due=True)
    await run(replica, "UPDATE signing_keys SET created_at = created_at - INTERVAL 30 DAY")
    assert await replica.signing_keys.rotate(only_if_due=True)
    assert not await replica.signing_keys.rotate(only_if_due=True)


async def test_rotating_under_load_refuses_no_token(start: Any, user: Any, resources: Resources) -> None:
    # The new key signs as soon as it is made: harder than the real schedule, where everybody fetches it before.
    replicas = [await start(key_reload_seconds=1), await start(key_reload_seconds=1)]
    refused: list[httpx.Response] = []
    accepted: set[str] = set()
    token, done = user.refresh_token, asyncio.Event()

    async def use() -> None:
        nonlocal token
        turn = 0
        while not done.is_set():
            turn += 1
            pair = (await replicas[turn % 2].post("/v1/auth/refresh", json={"refreshToken": token})).json()
            token = pair["refreshToken"]
            bearer = {"Authorization": f"Bearer {pair['accessToken']}"}
            answers = [await replica.get("/v1/users/me", headers=bearer) for replica in replicas]
            refused.extend(answer for answer in answers if answer.status_code != 200)
            accepted.add(jwt.get_unverified_header(pair["accessToken"])["kid"])

    async def rotate() -> None:
        for _ in range(3):
            await resources.signing_keys.rotate(at_once=True)
            newest = (await resources.signing_keys.load())["keys"][-1]["kid"]
            # Everybody has met this key before the next one comes; and an unknown key is looked up once a second.
            while newest not in accepted:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.2)
        done.set()

    await asyncio.gather(use(), rotate())
    assert not refused
    newest = (await resources.signing_keys.load())["keys"][-1]["kid"]
    pair = (await replicas[0].post("/v1/auth/refresh", json={"refreshToken": token})).json()
    assert jwt.get_unverified_header(pair["accessToken"])["kid"] == newest


async def test_private_keys_are_stored_encrypted_under_the_configured_secret(fresh: Build) -> None:
    replica = await fresh()
    (kid,) = await kids(replica)
    (row,) = await run(replica, "SELECT private_key FROM signing_keys")
    with pytest.raises(ValueError, match=r"[Cc]ould not|unable|Invalid|ASN"):
        load_der_private_key(row.private_key, None)
    await run(replica, "UPDATE signing_keys SET kid = CONCAT('x', SUBSTRING(kid, 2))")
    # The id is authenticated with the key: it cannot be exchanged for another row's.
    assert (await replica.signing_keys.load())["keys"][-1]["kid"] != kid
    assert len(await kids(replica)) == 2


async def test_the_secret_can_be_replaced_without_losing_a_key(fresh: Build) -> None:
    old_secret = "key-encryption-key-of-the-test-suite-012345"
    old = await kids(await fresh())
    replaced = await fresh(key_encryption_key="a-new-secret-0123456789-0123456789-x", key_encryption_key_old=old_secret)
    assert await kids(replaced) == old
    assert (await replaced.signing_keys.signing_key())[0] == old[0]
    # Without the old secret nothing can be signed with the old key, so a new one is made; tokens stay verifiable.
    cut_off = await fresh(key_encryption_key="a-new-secret-0123456789-0123456789-x")
    both = await kids(cut_off)
    assert both[0] == old[0]
    assert (await cut_off.signing_keys.signing_key())[0] == both[1]


async def test_while_the_database_is_away_the_last_key_set_is_served(
    fresh: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = await fresh()
    known = await kids(replica)

    async def away(*_: Any, **__: Any) -> None:
        raise UnavailableError

    monkeypatch.setattr(replica.database, "transaction", away)
    replica.signing_keys._loaded_at = float("-inf")
    assert [key["kid"] for key in (await replica.signing_keys.jwks())["keys"]] == known
    empty = await fresh()
    monkeypatch.setattr(empty.database, "transaction", away)
    with pytest.raises(UnavailableError):
        await empty.signing_keys.jwks()


async def test_a_clock_that_runs_behind_still_signs_with_the_first_key(fresh: Build) -> None:
    replica = await fresh()
    await kids(replica)
    replica.signing_keys._clock = lambda: utc_now() - timedelta(minutes=5)
    assert (await replica.signing_keys.signing_key())[0] == (await kids(replica))[0]
