"""Services that are away, slow, broken or restarted, and clients that leave."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chassis.testing.http import assert_problem
from gateway.testing.process import RunningGateway, StartGateway, free_port
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream


def get(bearer: str, target: str = "/v1/movies") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode()


@pytest.fixture
async def watch() -> AsyncIterator[RecordingUpstream]:
    """A service of the test's own, so that what it does to breakers and addresses ends with it."""
    async with recording_upstream() as upstream:
        yield upstream


# Away


async def test_a_service_that_is_away_is_503_and_comes_back(start_gateway: StartGateway, bearer: str) -> None:
    upstream = RecordingUpstream(port=free_port())
    async with start_gateway(watch=upstream.url) as gateway, gateway.client() as client:
        headers = {"authorization": bearer}
        answer = await client.put("/v1/watched/1", headers=headers)
        assert_problem(answer, 503, "upstream-unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        for path in ("/v1/movies", "/v1/packages"):
            assert (await client.get(path, headers=headers)).status_code == 200, "the others go on"
        await upstream.start()
        answer = await client.put("/v1/watched/1", headers=headers)
        assert answer.status_code == 200
        await upstream.stop()


async def test_the_breaker_spares_a_service_that_is_away(start_gateway: StartGateway, bearer: str) -> None:
    port = free_port()
    state = 'gateway_upstream_breaker_state{upstream="watch"}'
    failures = 'gateway_upstream_failures_total{reason="unreachable",upstream="watch"}'
    async with (
        start_gateway(watch=f"http://127.0.0.1:{port}", breaker_failures=3, breaker_open_seconds=0.5) as gateway,
        gateway.client() as client,
    ):
        for _ in range(20):
            answer = await client.get("/v1/watched", headers={"authorization": bearer})
            assert_problem(answer, 503, "upstream-unavailable")
        metrics = await gateway.metrics()
        assert metrics[state] == 2
        assert metrics[failures] <= 4
        upstream = RecordingUpstream(port=port)
        await upstream.start()
        await asyncio.sleep(1.2)
        assert (await client.get("/v1/watched", headers={"authorization": bearer})).status_code == 200
        assert (await gateway.metrics())[state] == 0
        await upstream.stop()


async def test_a_silent_address_costs_the_connect_time_only(start_gateway: StartGateway, bearer: str) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        blockers = [socket.socket() for _ in range(4)]
        for blocker in blockers:
            blocker.setblocking(False)
            blocker.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with start_gateway(watch=url, connect_seconds=0.3) as gateway, gateway.client() as client:
            begin = time.monotonic()
            answer = await client.get("/v1/watched", headers={"authorization": bearer})
            assert_problem(answer, 503, "upstream-unavailable")
            assert time.monotonic() - begin < 1.5
        for blocker in blockers:
            blocker.close()


# Slow


@pytest.fixture(scope="module")
async def slow_service() -> AsyncIterator[RecordingUpstream]:
    async def never(exchange: Exchange) -> None:
        await exchange.reader.read()

    async with recording_upstream(never) as upstream:
        yield upstream


async def test_a_service_that_does_not_answer_is_504(
    start_gateway: StartGateway,
    slow_service: RecordingUpstream,
    bearer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import dataclasses, gateway.routes as r\n"
        "r.ROUTES = tuple(dataclasses.replace(route, timeout=0.5) for route in r.ROUTES)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with start_gateway(watch=slow_service.url) as gateway, gateway.client() as client:
        begin = time.monotonic()
        lost = slow_service.connections
        answer = await client.post("/v1/auth/logout", headers={"authorization": bearer})
        assert answer.status_code == 200
        for method, path in (("GET", "/v1/watched"), ("PUT", "/v1/watched/1")):
            answer = await client.request(method, path, headers={"authorization": bearer})
            assert_problem(answer, 504, "gateway-timeout")
        assert 0.9 < time.monotonic() - begin < 2.5
        assert slow_service.connections == lost + 2, "what timed out is not tried again"


async def test_an_answer_that_stops_in_the_middle_is_broken_off(
    start_gateway: StartGateway, watch: RecordingUpstream, bearer: str
) -> None:
    async def stop(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome")
        await exchange.reader.read()

    watch.handler = stop
    async with start_gateway(watch=watch.url, upstream_stall_seconds=0.5) as gateway:
        answer = await gateway.exchange(get(bearer, "/v1/watched"), seconds=5)
    assert answer.endswith(b"\r\n\r\nsome")


# Broken


@pytest.mark.parametrize(
    "garbage",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000,
        b"HTTP/1.1 200",
        b"",
    ],
)
async def test_an_answer_that_is_no_http_is_502(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, garbage: bytes
) -> None:
    async def spoil(exchange: Exchange) -> None:
        await exchange.send(garbage)
        exchange.close = True

    service.handler = spoil
    async with shared_gateway.client() as client:
        answer = await client.post("/v1/subscriptions", json={}, headers={"authorization": bearer})
        assert_problem(answer, 502, "bad-gateway")
        assert len(service.requests) == 1, "a POST is never sent twice"
        service.handler = type(service)().handler
        assert (await client.post("/v1/subscriptions", json={}, headers={"authorization": bearer})).status_code == 200


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
    ],
)
async def test_a_cut_answer_is_not_made_to_look_complete(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, start: bytes
) -> None:
    async def cut(exchange: Exchange) -> None:
        await exchange.send(start)
        await asyncio.sleep(0.05)
        exchange.writer.transport.abort()

    service.handler = cut
    answer = await shared_gateway.exchange(get(bearer), seconds=3)
    assert b"part" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_bytes_after_an_answer_never_reach_the_next_request(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def poison(exchange: Exchange) -> None:
        body = exchange.request.target.encode()
        await exchange.answer(200, body)
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")

    service.handler = poison
    async with shared_gateway.client() as client:
        for n in range(20):
            answer = await client.get(f"/v1/movies?n={n}", headers={"authorization": bearer})
            assert answer.text == f"/v1/movies?n={n}"


async def test_a_body_after_head_never_reaches_the_next_request(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def body_for_head(exchange: Exchange) -> None:
        await exchange.answer(200, exchange.request.target.encode())

    service.handler = body_for_head
    async with shared_gateway.client() as client:
        for n in range(10):
            assert (await client.head("/v1/movies", headers={"authorization": bearer})).status_code == 200
            answer = await client.get(f"/v1/movies?n={n}", headers={"authorization": bearer})
            assert answer.text == f"/v1/movies?n={n}"


async def test_an_answer_before_the_end_of_the_body_is_given(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(409, b"no")

    refuse.reads_body_itself = True  # type: ignore[attr-defined]
    service.handler = refuse
    client = await shared_gateway.connect()
    await client.send(
        f"POST /v1/subscriptions HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n".encode()
        + b"Content-Length: 900000\r\n\r\n"
        + b"x" * 100_000
    )
    answer = await client.read_all(seconds=3)
    assert answer.startswith(b"HTTP/1.1 409 ")
    assert b"connection: close" in answer
    await client.close()


# Too busy


async def test_more_than_a_service_can_take_is_503(
    start_gateway: StartGateway, watch: RecordingUpstream, bearer: str
) -> None:
    release = asyncio.Event()
    most = 0

    async def hold(exchange: Exchange) -> None:
        nonlocal most
        most = max(most, len(watch.requests))
        await release.wait()
        await exchange.answer(200, b"ok")

    watch.handler = hold
    async with start_gateway(
        watch=watch.url, upstream_max_active=4, upstream_max_waiting=4, upstream_wait_seconds=1
    ) as gateway:
        clients = [await gateway.connect() for _ in range(12)]
        for client in clients:
            await client.send(get(bearer, "/v1/watched"))
        await asyncio.sleep(0.3)
        assert most == 4
        release.set()
        statuses = sorted([(await client.read_answer())[0] for client in clients])
        assert statuses == [200] * 8 + [503] * 4
        for client in clients:
            await client.close()


async def test_waiting_for_a_turn_has_an_end(
    start_gateway: StartGateway, watch: RecordingUpstream, bearer: str
) -> None:
    async def hold(exchange: Exchange) -> None:
        await asyncio.sleep(3)
        await exchange.answer(200, b"ok")

    watch.handler = hold
    async with start_gateway(
        watch=watch.url, upstream_max_active=1, upstream_wait_seconds=0.3, connect_seconds=0.3
    ) as gateway:
        first = await gateway.connect()
        await first.send(get(bearer, "/v1/watched"))
        await asyncio.sleep(0.1)
        async with gateway.client() as client:
            answer = await client.get("/v1/watched", headers={"authorization": bearer})
        assert_problem(answer, 503, "upstream-busy")
        assert answer.headers["retry-after"] == "1"
        first.abort()
