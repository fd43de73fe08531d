"""Ended sessions are refused at once: heard over a real broker, read from a snapshot without one."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractChannel

from chassis.events.envelope import CONTENT_TYPE, Event, encode
from chassis.events.topology import declare, load_topology
from chassis.ids import new_id
from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import Identity, RunningGateway, StartGateway

LISTENING = "gateway_revocation_feed_age_seconds"


@pytest.fixture
async def own_identity(token_issuer: TokenIssuer) -> AsyncIterator[Identity]:
    upstream = Identity(token_issuer)
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def channel(broker_url: str) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await declare(channel, load_topology())
        yield channel


async def publish(channel: AbstractChannel, kind: str, revision: int, **data: Any) -> None:
    exchange = await channel.get_exchange("identity.events")
    event = Event(kind, "/identity", f"user/{data.get('userId')}", {"revision": revision, **data})
    await exchange.publish(aio_pika.Message(encode(event), content_type=CONTENT_TYPE), routing_key=kind)


async def listening(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + 10
    while (await gateway.metrics())[LISTENING] != 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def refused_within(client: httpx.AsyncClient, token: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (await client.get("/v1/movies", headers={"authorization": f"Bearer {token}"})).status_code == 401:
            return True
        await asyncio.sleep(0.02)
    return False


def soon() -> str:
    return (datetime.now(UTC) + timedelta(minutes=10)).isoformat()


async def test_events_end_sessions_users_and_generations(
    start_gateway: StartGateway,
    own_identity: Identity,
    broker_url: str,
    channel: AbstractChannel,
    token_issuer: TokenIssuer,
) -> None:
    async with (
        start_gateway(identity=own_identity.url, broker_url=broker_url) as gateway,
        start_gateway(identity=own_identity.url, broker_url=broker_url) as replica,
        gateway.client() as client,
        replica.client() as other,
    ):
        await listening(gateway)
        await listening(replica)
        session, user, changed, deleted = new_id(), new_id(), new_id(), new_id()
        ended = token_issuer.token(user, sid=str(session))
        untouched = token_issuer.token(user)
        old, new = token_issuer.token(changed, ver=1), token_issuer.token(changed, ver=2)
        gone = token_issuer.token(deleted)
        for token in (ended, untouched, old, new, gone):
            assert not await refused_within(client, token, 0.01)

        await publish(channel, "identity.session.revoked.v1", 1, sid=str(session), userId=str(user), until=soon())
        await publish(
            channel, "identity.user.changed.v1", 2, userId=str(changed), status="active", roles=["user"], minVersion=2
        )
        await publish(channel, "identity.user.deleted.v1", 3, userId=str(deleted))
        for replica_client in (client, other):
            for token in (ended, old, gone):
                assert await refused_within(replica_client, token, 2.0)
            for token in (untouched, new):
                assert not await refused_within(replica_client, token, 0.01)

        await publish(
            channel, "identity.user.changed.v1", 3, userId=str(changed), status="disabled", roles=["user"], minVersion=2
        )
        assert await refused_within(client, new, 2.0)
        await publish(
            channel, "identity.user.changed.v1", 4, userId=str(changed), status="active", roles=["user"], minVersion=2
        )
        await asyncio.sleep(0.3)
        assert not await refused_within(client, new, 0.01)
        metrics = await gateway.metrics()
        assert metrics['gateway_revocations{kind="session"}'] == 1


async def test_tokens_that_were_verified_are_forgotten_when_they_are_refused(
    start_gateway: StartGateway,
    own_identity: Identity,
    broker_url: str,
    channel: AbstractChannel,
    token_issuer: TokenIssuer,
) -> None:
    async with start_gateway(identity=own_identity.url, broker_url=broker_url) as gateway, gateway.client() as client:
        await listening(gateway)
        session, changed, deleted = new_id(), new_id(), new_id()
        ended = token_issuer.token(new_id(), sid=str(session))
        for token in (ended, token_issuer.token(changed, ver=1), token_issuer.token(deleted), token_issuer.token()):
            assert not await refused_within(client, token, 0.01)

        async def remembered(expected: int) -> None:
            async with asyncio.timeout(2.0):
                while (await gateway.metrics())["gateway_verified_tokens"] != expected:
                    await asyncio.sleep(0.02)

        await remembered(4)
        await publish(channel, "identity.session.revoked.v1", 1, sid=str(session), userId=str(new_id()), until=soon())
        await remembered(3)
        await publish(
            channel, "identity.user.changed.v1", 2, userId=str(changed), status="active", roles=["user"], minVersion=2
        )
        await remembered(2)
        await publish(channel, "identity.user.deleted.v1", 3, userId=str(deleted))
        await remembered(1)


async def test_what_happened_before_the_start_is_in_the_snapshot(
    start_gateway: StartGateway, own_identity: Identity, broker_url: str, token_issuer: TokenIssuer
) -> None:
    session, disabled, changed = new_id(), new_id(), new_id()
    own_identity.revocations = {
        "sessions": [{"sid": str(session), "until": soon()}],
        "users": [
            {"userId": str(disabled), "minVersion": None, "blocked": True},
            {"userId": str(changed), "minVersion": 5, "blocked": False},
        ],
        "asOf": soon(),
    }
    async with start_gateway(identity=own_identity.url, broker_url=broker_url) as gateway, gateway.client() as client:
        for token in (
            token_issuer.token(sid=str(session)),
            token_issuer.token(disabled),
            token_issuer.token(changed, ver=4),
        ):
            assert await refused_within(client, token, 0.5)
        assert not await refused_within(client, token_issuer.token(changed, ver=5), 0.01)


async def test_without_a_broker_the_snapshot_is_read_often_enough(
    start_gateway: StartGateway, own_identity: Identity, token_issuer: TokenIssuer
) -> None:
    async with start_gateway(identity=own_identity.url) as gateway, gateway.client() as client:
        # At different times after a snapshot was read: it is what comes just behind one that waits longest.
        for phase in (0.0, 0.1, 0.3, 0.6, 0.9):
            user = new_id()
            token = token_issuer.token(user)
            assert not await refused_within(client, token, 0.01)
            own_identity.revocations["users"] = [{"userId": str(user), "minVersion": None, "blocked": True}]
            assert await refused_within(client, token, 2)
            await asyncio.sleep(phase)
        own_identity.paths["/internal/v1/revocations"] = own_identity.paths["/.well-known/jwks.json"]
        await asyncio.sleep(2)
        assert await refused_within(client, token, 0.1), "an outage takes nothing off the list"
        assert not await refused_within(client, token_issuer.token(), 0.01), "and nobody else is shut out"
        assert await gateway.readiness() == 200


async def test_a_lost_connection_to_the_broker_is_built_again(
    start_gateway: StartGateway,
    own_identity: Identity,
    broker_url: str,
    channel: AbstractChannel,
    token_issuer: TokenIssuer,
) -> None:
    from yarl import URL

    from chassis.testing.servers import required_environment

    api = URL(required_environment("STACK_AMQP_API_URL"))
    async with (
        start_gateway(identity=own_identity.url, broker_url=broker_url) as gateway,
        gateway.client() as client,
        httpx.AsyncClient(
            base_url=str(api.with_user(None)), auth=(api.user or "", api.password or ""), trust_env=False
        ) as management,
    ):
        await listening(gateway)
        killed = 0
        vhost = URL(broker_url).path.lstrip("/")
        deadline = time.monotonic() + 20
        while not killed and time.monotonic() < deadline:
            for connection in (await management.get("/api/connections")).json():
                name = connection.get("client_properties", {}).get("connection_name")
                if connection.get("vhost") == vhost and name == "gateway-revocations":
                    await management.delete(f"/api/connections/{connection['name'].replace(' ', '%20')}")
                    killed += 1
            await asyncio.sleep(0.2)
        assert killed
        user = new_id()
        token = token_issuer.token(user)
        own_identity.revocations["users"] = [{"userId": str(user), "minVersion": None, "blocked": True}]
        assert await refused_within(client, token, 3.0), "missed events are made good for by the snapshot"
        await asyncio.sleep(0.2)
        await listening(gateway)
        session = new_id()
        token = token_issuer.token(sid=str(session))
        await publish(
            channel, "identity.session.revoked.v1", 1, sid=str(session), userId=str(uuid.uuid4()), until=soon()
        )
        assert await refused_within(client, token, 2.0)


async def test_nonsense_on_the_bus_does_no_harm(
    start_gateway: StartGateway,
    own_identity: Identity,
    broker_url: str,
    channel: AbstractChannel,
    token_issuer: TokenIssuer,
) -> None:
    async with start_gateway(identity=own_identity.url, broker_url=broker_url) as gateway, gateway.client() as client:
        await listening(gateway)
        exchange = await channel.get_exchange("identity.events")
        for body in (b"nonsense", b"{}", b"[]"):
            await exchange.publish(aio_pika.Message(body), routing_key="identity.user.changed.v1")
        await asyncio.sleep(0.3)
        await listening(gateway)
        user, session = new_id(), new_id()
        own_identity.revocations["users"] = [{"userId": str(user), "minVersion": None, "blocked": True}]
        await publish(channel, "identity.user.changed.v1", 1, userId="no id", status=1, minVersion=None)
        assert await refused_within(client, token_issuer.token(user), 2.0), "what cannot be read is looked up"
        await publish(channel, "identity.session.revoked.v1", 1, sid=str(session), userId=str(user), until=soon())
        assert await refused_within(client, token_issuer.token(sid=str(session)), 2.0)
