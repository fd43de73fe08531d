"""Clients that leave: their service is told at once, whatever was under way."""

import asyncio
import socket
import struct
import time

import pytest

from gateway.testing.process import RunningGateway, StartGateway, eventually
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream


def get(bearer: str) -> bytes:
    return f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode()


@pytest.mark.parametrize("how", ["reset", "close", "half-close"])
async def test_the_service_sees_its_client_leave_within_100_ms(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, how: str
) -> None:
    left: list[float] = []

    async def wait(exchange: Exchange) -> None:
        try:
            await exchange.reader.read()
        finally:
            left.append(time.monotonic())
        raise ConnectionError

    service.handler = wait
    client = await shared_gateway.connect()
    await client.send(get(bearer))
    await eventually(lambda: service.requests)
    await asyncio.sleep(0.05)
    begin = time.monotonic()
    if how == "reset":
        client.abort()
    elif how == "half-close":
        client.writer.write_eof()
    else:
        client.writer.close()
    await eventually(lambda: left)
    assert left[0] - begin < 0.1
    async with shared_gateway.client() as other:
        service.handler = type(service)().handler
        assert (await other.get("/v1/movies", headers={"authorization": bearer})).status_code == 200
    await client.close()


async def test_leaving_is_noticed_although_nothing_is_read(start_gateway: StartGateway, bearer: str) -> None:
    left: list[float] = []

    async def stuck(exchange: Exchange) -> None:
        await asyncio.sleep(1)  # takes nothing, so that the gateway takes nothing either
        try:
            while await exchange.reader.read(2**20):
                pass
        except ConnectionError:
            pass
        left.append(time.monotonic())
        raise ConnectionError

    stuck.reads_body_itself = True  # type: ignore[attr-defined]
    async with (
        recording_upstream(stuck) as upstream,
        start_gateway(subscription=upstream.url, max_body_bytes=2**28) as gateway,
    ):
        client = await gateway.connect()
        head = f"Host: x\r\nAuthorization: {bearer}\r\nContent-Length: {2**28}\r\n\r\n"
        await client.send(f"POST /v1/subscriptions HTTP/1.1\r\n{head}".encode())
        client.writer.write(b"x" * 2**25)
        await asyncio.sleep(0.5)
        # A reset: without it the end would wait behind the bytes that nobody takes.
        raw = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.abort()
        active = 'gateway_upstream_active{upstream="subscription"}'
        await asyncio.sleep(0.25)
        assert (await gateway.metrics())[active] == 0
        await eventually(lambda: left)


async def test_a_client_that_leaves_in_an_answer_ends_it(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    left = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        try:
            await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                await exchange.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                await asyncio.sleep(0.001)
        finally:
            left.set()

    service.handler = endless
    client = await shared_gateway.connect()
    await client.send(get(bearer))
    await client.reader.readexactly(20_000)
    client.abort()
    await asyncio.wait_for(left.wait(), 1)
