"""Many at once: no answer is swapped, cut or lost, and memory stays where it is."""

import asyncio
import random
import socket
import struct
from pathlib import Path

import httpx
import pytest

from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import RunningGateway, StartGateway
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream

MEBIBYTE = 2**20


async def reflect(exchange: Exchange) -> None:
    """The request's mark, in an answer whose size and framing depend on it."""
    mark = exchange.request.target.partition("=")[2] or exchange.request.body.decode()
    body = f"{mark}:".encode() * (int(mark[-3:]) * 5 + 1)
    if int(mark[-1]) % 3 == 0:
        parts = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i : i + 3000] for i in range(0, len(body), 3000)))
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n")
    else:
        await exchange.answer(200, body)


async def test_unique_answers_under_64_way_concurrency(
    shared_gateway: RunningGateway, service: RecordingUpstream, token_issuer: TokenIssuer
) -> None:
    service.handler = reflect
    tokens = [token_issuer.token() for _ in range(8)]
    counter = iter(range(10**9))
    wrong: list[str] = []

    async def one(worker: int) -> None:
        async with shared_gateway.client() as client:
            header = {"authorization": f"Bearer {tokens[worker % 8]}"}
            for _ in range(25):
                mark = f"{next(counter):012d}"
                if random.random() < 0.3:
                    answer = await client.post("/v1/subscriptions", content=mark, headers=header)
                else:
                    answer = await client.get(f"/v1/movies?mark={mark}", headers=header)
                if answer.status_code != 200 or answer.text != f"{mark}:" * (int(mark[-3:]) * 5 + 1):
                    wrong.append(f"{mark}: {answer.status_code} {answer.text[:80]}")

    async def leave_at_random(worker: int) -> None:
        for _ in range(60):
            client = await shared_gateway.connect()
            mark = f"{next(counter):012d}"
            header = f"Host: x\r\nAuthorization: Bearer {tokens[worker % 8]}\r\n\r\n"
            await client.send(f"GET /v1/movies?mark={mark} HTTP/1.1\r\n{header}".encode())
            await asyncio.sleep(random.random() * 0.01)
            client.abort()

    await asyncio.gather(*(one(n) for n in range(64)), *(leave_at_random(n) for n in range(6)))
    assert wrong == []
    await asyncio.sleep(0.3)
    metrics = await shared_gateway.metrics()
    assert metrics['gateway_upstream_active{upstream="catalog"}'] == 0
    assert metrics['gateway_upstream_waiting{upstream="catalog"}'] == 0


async def test_restarts_under_load_swap_and_cut_nothing(start_gateway: StartGateway, token_issuer: TokenIssuer) -> None:
    async with recording_upstream(reflect) as one, recording_upstream(reflect) as two:  # noqa: SIM117
        async with start_gateway(catalog=f"{one.url},{two.url}", address_burst=10**6, user_burst=10**6) as gateway:
            header = {"authorization": f"Bearer {token_issuer.token()}"}
            counter = iter(range(10**9))
            statuses: dict[int, int] = {}
            done = asyncio.Event()

            async def ask() -> None:
                async with gateway.client() as client:
                    while not done.is_set():
                        mark = f"{next(counter):012d}"
                        try:
                            answer = await client.get(f"/v1/movies?mark={mark}", headers=header)
                        except httpx.RemoteProtocolError:
                            continue  # an answer cut off by the restart is told as such
                        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                        if answer.status_code == 200:
                            assert answer.text == f"{mark}:" * (int(mark[-3:]) * 5 + 1)

            async def restart() -> None:
                for upstream in (one, two, one, two):
                    await asyncio.sleep(0.4)
                    await upstream.stop()
                    await asyncio.sleep(0.3)
                    await upstream.start()
                done.set()

            await asyncio.gather(restart(), *(ask() for _ in range(16)))
    assert statuses[200] > 100
    failed = sum(count for status, count in statuses.items() if status != 200)
    assert failed <= statuses[200] * 0.05, statuses


def kernel_buffers() -> int:
    """What the kernel may keep in the socket buffers of both connections, in bytes."""
    limits = (Path(f"/proc/sys/net/ipv4/{name}").read_text() for name in ("tcp_rmem", "tcp_wmem"))
    return 2 * sum(int(limit.split()[2]) for limit in limits)


async def test_a_slow_reader_does_not_fill_the_memory(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    size = 200 * MEBIBYTE
    sent = 0

    async def stream(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        block = b"x" * 262_144
        while sent < size:
            await exchange.send(block)
            sent += len(block)

    service.handler = stream
    client = await shared_gateway.connect()
    before = shared_gateway.resident_bytes()
    await client.send(f"GET /v1/watched HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
    await client.reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(1.0)
    growth = shared_gateway.resident_bytes() - before
    assert sent < kernel_buffers() + 8 * MEBIBYTE < size, "the service is held back"
    assert growth < 8 * MEBIBYTE, f"{growth / MEBIBYTE:.1f} MiB"
    client.abort()


async def test_an_upload_into_a_stuck_service_does_not_fill_the_memory(
    start_gateway: StartGateway, bearer: str
) -> None:
    async def stuck(exchange: Exchange) -> None:
        await asyncio.sleep(30)

    stuck.reads_body_itself = True  # type: ignore[attr-defined]
    async with recording_upstream(stuck) as upstream:
        async with start_gateway(subscription=upstream.url, max_body_bytes=300 * MEBIBYTE) as gateway:
            client = await gateway.connect()
            before = gateway.resident_bytes()
            head = f"Host: x\r\nAuthorization: {bearer}\r\nContent-Length: {200 * MEBIBYTE}\r\n\r\n"
            await client.send(f"POST /v1/subscriptions HTTP/1.1\r\n{head}".encode())
            sent = 0
            block = b"x" * 262_144
            try:
                while sent < 200 * MEBIBYTE:
                    await asyncio.wait_for(client.send(block), 1.0)
                    sent += len(block)
            except TimeoutError:
                pass
            growth = gateway.resident_bytes() - before
            assert sent < 100 * MEBIBYTE, "the client is held back"
            assert growth < 8 * MEBIBYTE, f"{growth / MEBIBYTE:.1f} MiB"
            # A reset: without it the end would wait behind the bytes that nobody takes.
            raw = client.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.abort()
        for writer in list(upstream._writers):
            writer.transport.abort()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_large_answer_arrives_whole(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, framing: str
) -> None:
    body = random.randbytes(10 * MEBIBYTE)

    async def stream(exchange: Exchange) -> None:
        if framing == "length":
            await exchange.answer(200, body)
            return
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for start in range(0, len(body), 100_003):
            part = body[start : start + 100_003]
            await exchange.send(b"%x\r\n%s\r\n" % (len(part), part))
        await exchange.send(b"0\r\n\r\n")

    service.handler = stream
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/watched", headers={"authorization": bearer})
    assert answer.content == body
