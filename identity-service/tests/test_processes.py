"""The real processes: commands, missing servers, events and mails on their way out."""

import asyncio
import json
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
import pytest

from chassis.events.connection import connected
from chassis.events.topology import load_topology
from chassis.idempotency import Answer
from chassis.migrations import upgrade
from chassis.testing.http import assert_problem
from chassis.testing.servers import mysql_database
from identity.domain.sessions import Client
from identity.domain.users import Registration
from identity.jobs.maintenance import create_first_admin
from identity.migrations import MIGRATIONS
from identity.storage import users

ADMIN = {"ADMIN_EMAIL": "Root@Example.com", "ADMIN_PASSWORD": "an uncommon phrase of ours"}
CLOSED = "127.0.0.1:1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def environment(broker_url: str, smtp_port: int) -> Iterator[dict[str, str]]:
    """The settings of a stack of this module's own."""
    with mysql_database("processes") as url:
        yield {
            "PATH": os.environ["PATH"],
            "IDENTITY_DATABASE_URL": url,
            "IDENTITY_BROKER_URL": broker_url,
            "IDENTITY_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
            "IDENTITY_INTERNAL_TOKEN": "internal-token-0123456789-0123456789",
            "IDENTITY_PASSWORD_PEPPER": "pepper-0123456789-0123456789-0123456789",
            "IDENTITY_KEY_ENCRYPTION_KEY": "key-key-0123456789-0123456789-0123456789",
            "IDENTITY_BCRYPT_COST": "4",
        }


async def command(environment: dict[str, str], *arguments: str, text: str = "", **more: str) -> tuple[int, str]:
    """Run `python -m identity …`: its exit status and all that it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "identity", *arguments,
        env={**environment, **more},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate(text.encode())
    return process.returncode or 0, out.decode()


@asynccontextmanager
async def started(environment: dict[str, str], name: str, **more: str) -> AsyncIterator[str]:
    """A running process; gives the address of its operations endpoints."""
    port = str(free_port())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "identity", name,
        env={**environment, "IDENTITY_PORT": port, "IDENTITY_OPS_PORT": port, **more},
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        await until(lambda: reachable(f"{url}/livez"))
        yield url
    finally:
        assert process.returncode is None, "the process has ended by itself"
        process.terminate()
        async with asyncio.timeout(25):
            await process.wait()


async def reachable(url: str, status: int = 200) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == status
        except httpx.HTTPError:
            return False


async def shows_waiting_events(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        lines = dict(line.rsplit(" ", 1) for line in (await client.get(f"{url}/metrics")).text.splitlines())
    names = ("outbox_depth", "outbox_oldest_seconds", "outbox_publish_failures_total")
    return all(float(lines[name]) > 0 for name in names)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_setting_that_is_missing_or_too_short_ends_the_start_and_is_named(environment: dict[str, str]) -> None:
    for name, value in (("IDENTITY_PASSWORD_PEPPER", None), ("IDENTITY_KEY_ENCRYPTION_KEY", "short-secret")):
        changed = {key: text for key, text in environment.items() if key != name} | ({name: value} if value else {})
        status, out = await command(changed, "keys", "list")
        assert status != 0
        assert name.removeprefix("IDENTITY_").lower() in out.lower()
        assert "short-secret" not in out


async def test_commands_prepare_a_database_and_make_administrators(environment: dict[str, str]) -> None:
    status, out = await command(environment, "migrate", **{**ADMIN, "ADMIN_PASSWORD": "password1234"})
    assert (status, "common" in out) == (0, True)
    for _ in range(2):
        status, _ = await command(environment, "migrate", **ADMIN)
        assert status == 0
    phrase = ADMIN["ADMIN_PASSWORD"]
    status, out = await command(environment, "create-admin", "--email", "root@example.com", text=phrase)
    assert (status, "email-taken" in out) == (1, True)
    status, out = await command(environment, "create-admin", "--email", "two@example.com", text="short\n")
    assert (status, "at least 12" in out) == (1, True)
    status, out = await command(environment, "create-admin", "--email", "nonsense", text=phrase)
    assert (status, "must be an e-mail address" in out) == (1, True)
    status, out = await command(environment, "create-admin", "--email", "two@example.com", text=phrase + "\n")
    assert (status, "two@example.com" in out) == (0, True)
    status, out = await command(environment, "keys", "rotate")
    assert (status, out.count("active"), out.count("published")) == (0, 1, 1)
    async with started(environment, "api") as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await until(lambda: reachable(f"{url}/readyz"))
        body = {"email": "root@example.com", "password": phrase}
        bearer = {"Authorization": f"Bearer {(await client.post('/v1/auth/login', json=body)).json()['accessToken']}"}
        admins = (await client.get("/v1/users?role=admin", headers=bearer)).json()["data"]
        assert [admin["email"] for admin in admins] == ["root@example.com", "two@example.com"]


async def test_an_api_without_its_database_starts_answers_503_and_says_it_is_not_ready(
    environment: dict[str, str],
) -> None:
    away = {"IDENTITY_DATABASE_URL": f"mysql://nobody@{CLOSED}/identity", "IDENTITY_BROKER_URL": f"amqp://x@{CLOSED}/"}
    async with started(environment, "api", **away) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        body = {"email": "a@example.com", "password": "a bicycle for two fish"}
        answer = await client.post("/v1/auth/login", json=body)
        assert_problem(answer, 503, "service-unavailable")
        assert answer.headers["retry-after"]
        assert_problem(await client.get("/.well-known/jwks.json"), 503, "service-unavailable")
        bearer = {"Authorization": "Bearer e30.e30.e30"}
        assert (await client.get("/v1/users/me", headers=bearer)).status_code in (401, 503)


async def test_a_worker_sends_events_and_mails_and_waits_for_servers_that_are_away(
    environment: dict[str, str], inbox: Any
) -> None:
    assert (await command(environment, "migrate"))[0] == 0
    email, password = f"worker-{uuid.uuid4().hex[:8]}@example.com", "a bicycle for two fish"
    async with started(environment, "api") as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        user = (await client.post("/v1/users", json={"email": email, "password": password, "name": "W"})).json()
        pair = (await client.post("/v1/auth/login", json={"email": email, "password": password})).json()
        bearer = {"Authorization": f"Bearer {pair['accessToken']}"}
        async with listening(environment["IDENTITY_BROKER_URL"]) as heard:
            # The broker is away: requests go on, events wait.
            async with started(environment, "worker", IDENTITY_BROKER_URL=f"amqp://x@{CLOSED}/") as worker:
                await until(lambda: reachable(f"{worker}/readyz"))
                assert (await client.delete("/v1/auth/sessions", headers=bearer)).status_code == 204
                assert (await client.post("/v1/auth/password/forgot", json={"email": email})).status_code == 202
                await until(lambda: asyncio.sleep(0, inbox.texts_for(email)))
                await until(lambda: shows_waiting_events(worker))
            assert not [event for event in heard if event["type"] == "identity.user.changed.v1"]
            async with started(environment, "worker"):
                await until(lambda: asyncio.sleep(0, [e for e in heard if e["type"] == "identity.user.changed.v1"]))
    (event,) = [event for event in heard if event["type"] == "identity.user.changed.v1"]
    assert event["data"]["userId"] == user["id"]
    token = inbox.texts_for(email)[0].split("#token=")[1].split()[0]
    assert len(token) == 43


@asynccontextmanager
async def listening(broker_url: str) -> AsyncIterator[list[dict[str, Any]]]:
    """Collects all events of this service."""
    heard: list[dict[str, Any]] = []

    async def receive(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        heard.append(json.loads(message.body))

    async with connected(broker_url, "test", load_topology()) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind("identity.events", "#")
        await queue.consume(receive, no_ack=True)
        yield heard


async def test_many_workers_that_start_at_once_make_one_first_administrator(build: Any) -> None:
    from chassis.migrations import upgrade
    from identity.jobs.maintenance import create_first_admin
    from identity.migrations import MIGRATIONS

    with mysql_database("first") as url:
        upgrade(MIGRATIONS, url)
        workers = [await build(database_url=url, **ADMIN) for _ in range(6)]
        await asyncio.gather(*(create_first_admin(worker.accounts, worker.settings) for worker in workers))
        admins = await workers[0].database.transaction(users.lock_active_admins)
        assert len(admins) == 1


async def test_whoever_registered_the_first_administrators_address_is_not_promoted(build: Any) -> None:
    with mysql_database("taken") as url:
        upgrade(MIGRATIONS, url)
        worker = await build(database_url=url, **ADMIN)
        squatter = Registration("root@example.com", "a bicycle for two fish", "Eve")
        await worker.accounts.register(squatter, Client("127.0.0.1", None), None, lambda user: Answer(201, {}, b""))
        await create_first_admin(worker.accounts, worker.settings)
        assert not await worker.database.transaction(users.lock_active_admins)
