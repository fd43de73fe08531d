"""The real processes: api and worker started as an operator would, one of them killed in the middle of its work."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aio_pika
import httpx
import pytest

from chassis.ids import new_id

SUBSCRIBERS = 2000


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(40):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
def environment(settings: Any, broker_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "SUBSCRIPTION_DATABASE_URL": settings.database_url.get_secret_value(),
        "SUBSCRIPTION_BROKER_URL": broker_url,
        "SUBSCRIPTION_INTERNAL_TOKEN": settings.internal_token.get_secret_value(),
        "SUBSCRIPTION_JWKS_URLS": settings.jwks_urls[0],
        "SUBSCRIPTION_IDENTITY_URLS": settings.identity_urls[0],
        "SUBSCRIPTION_CATALOG_URLS": settings.catalog_urls[0],
        "SUBSCRIPTION_LOG_LEVEL": "WARNING",
        "SUBSCRIPTION_MOVE_BUDGET_SECONDS": "60",
        "SUBSCRIPTION_PORT": str(free_port()),
        "SUBSCRIPTION_OPS_PORT": str(free_port()),
    }


@contextlib.asynccontextmanager
async def started(name: str, environment: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A ready process and the base URL of its probes."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "subscription", name, env=environment)
    port = environment["SUBSCRIPTION_PORT" if name == "api" else "SUBSCRIPTION_OPS_PORT"]
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def is_ready() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    return (await client.get(f"{url}/readyz")).status_code == 200
                return False

            await until(is_ready)
        yield process, url
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_worker_finishes_the_move_of_a_killed_api_and_stops_when_told(
    api: Any, admin: Any, sql: Any, environment: dict[str, str]
) -> None:
    package = (await api.new_package(28)).json()
    for _ in range(SUBSCRIBERS // 1000):
        users = {"userIds": [new_id() for _ in range(1000)]}
        assert (await admin("POST", f"/v1/packages/{package['id']}/subscriptions", users)).status_code == 200
    package_id = bytes.fromhex(package["id"].replace("-", ""))

    async def moved() -> int:
        rows = await sql("SELECT moved FROM subscriber_moves WHERE package_id = :id", id=package_id)
        return rows[0].moved if rows else 0

    async def has_begun() -> bool:
        return await moved() > 0

    async def is_finished() -> bool:
        rows = await sql(
            "SELECT 1 FROM subscriber_moves WHERE package_id = :id AND finished_at IS NOT NULL", id=package_id
        )
        return bool(rows)

    async with started("api", environment) as (process, url), httpx.AsyncClient(trust_env=False) as client:
        edit = asyncio.create_task(
            client.patch(
                f"{url}/v1/packages/{package['id']}",
                json={"genreIds": [18], "applyToSubscribers": True},
                headers={**admin.headers, "if-match": "*"},
                timeout=60,
            )
        )
        await until(has_begun)
        process.kill()
        with contextlib.suppress(httpx.TransportError):
            await edit
        await process.wait()
    assert 0 < await moved() < SUBSCRIBERS

    async with started("worker", environment) as (process, _):
        await until(is_finished)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(25):
            assert await process.wait() == 0
    assert await moved() == SUBSCRIBERS
    (row,) = await sql(
        "SELECT COUNT(*) AS subscribers, MIN(s.package_version) AS oldest, MIN(r.revision) AS least,"
        " MAX(r.revision) AS most FROM subscriptions s JOIN entitlements_revisions r ON r.user_id = s.user_id"
        " WHERE s.package_id = :id",
        id=package_id,
    )
    assert (row.subscribers, row.oldest, row.least, row.most) == (SUBSCRIBERS, 2, 2, 2)


async def test_a_change_made_through_the_api_reaches_the_broker_through_the_worker(
    api: Any, user: Any, environment: dict[str, str], broker_url: str
) -> None:
    package = (await api.new_package(28)).json()
    async with started("worker", environment) as (_, worker), started("api", environment) as (_, url):
        async with httpx.AsyncClient(trust_env=False, base_url=url, headers=user.headers) as client:
            answer = await client.post("/v1/subscriptions", json={"packageId": package["id"]})
            assert answer.status_code == 201
            metrics = (await client.get("/metrics")).text
            assert 'http_requests_total{method="POST",route="/v1/subscriptions",status="201"}' in metrics
        connection = await aio_pika.connect(broker_url)
        queue = await (await connection.channel()).get_queue("catalog.entitlements.v1")

        async def has_arrived() -> bool:
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                if str(user.user_id).encode() in message.body:
                    return True
            return False

        await until(has_arrived)
        await connection.close()

        async def shows_its_figures() -> bool:
            async with httpx.AsyncClient(trust_env=False) as client:
                text = (await client.get(f"{worker}/metrics")).text
            queues = ("subscription.users.v1", "subscription.genres.v1")
            return (
                'outbox_published_total{type="subscription.entitlements.changed.v1"}' in text
                and 'outbox_published_total{type="subscription.heartbeat.v1"}' in text
                and "outbox_depth 0.0" in text
                and all(f'event_queue_parked{{queue="{queue}"}}' in text for queue in queues)
            )

        await until(shows_its_figures)


async def test_a_missing_setting_is_named_and_no_secret_is_shown(environment: dict[str, str]) -> None:
    del environment["SUBSCRIPTION_CATALOG_URLS"]
    environment["SUBSCRIPTION_INTERNAL_TOKEN"] = "short-secret"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "subscription", "api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"catalog_urls" in complaint
    assert b"short-secret" not in complaint
