"""Sizes, times and rates: what a client may ask of the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from chassis.testing.http import assert_problem
from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import RunningGateway, StartGateway, eventually
from gateway.testing.upstream import Exchange, RecordingUpstream


@pytest.fixture(scope="module")
async def strict_gateway(start_gateway: StartGateway) -> AsyncIterator[RunningGateway]:
    """Small limits and short times."""
    async with start_gateway(
        max_body_bytes=200_000, header_seconds=0.5, body_seconds=0.6, keep_alive_seconds=0.7, max_url_bytes=1000,
        max_header_bytes=4000, max_header_count=30, user_burst=100_000, address_burst=100_000,
    ) as gateway:  # fmt: skip
        yield gateway


def post(bearer: str, *lines: str) -> bytes:
    head = ["POST /v1/subscriptions HTTP/1.1", "Host: x", f"Authorization: {bearer}", *lines, "", ""]
    return "\r\n".join(head).encode()


def problem_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, answer[:300]
    document = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {document['status']} ".encode())
    return document["status"], document["code"]


# Bodies


async def test_one_mebibyte_passes_and_one_byte_more_does_not(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def count(exchange: Exchange) -> None:
        await exchange.answer_json(len(exchange.request.body))

    service.handler = count
    async with shared_gateway.client() as client:
        answer = await client.post("/v1/subscriptions", content=b"x" * 2**20, headers={"authorization": bearer})
        assert answer.json() == 2**20
        service.requests.clear()
        answer = await client.post("/v1/subscriptions", content=b"x" * (2**20 + 1), headers={"authorization": bearer})
        assert_problem(answer, 413, "body-too-large")
    assert service.requests == []


async def test_a_body_in_chunks_is_limited_as_well(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def parts(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 4096):
            yield b"x" * 4096

    completed = []

    async def count(exchange: Exchange) -> None:
        completed.append(len(exchange.request.body))
        await exchange.answer_json(len(exchange.request.body))

    service.handler = count
    async with shared_gateway.client() as client:
        answer = await client.post("/v1/subscriptions", content=parts(2**20), headers={"authorization": bearer})
        assert answer.json() == 2**20
        assert service.requests[-1].values("transfer-encoding") == ["chunked"]
        answer = await client.post("/v1/subscriptions", content=parts(2**20 + 4096), headers={"authorization": bearer})
        assert_problem(answer, 413, "body-too-large")
    await asyncio.sleep(0.1)
    assert completed == [2**20], "the service must not take a part for a whole"


async def test_a_long_body_is_passed_on_as_it_comes(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    arrived = asyncio.Event()

    async def read(exchange: Exchange) -> None:
        await exchange.reader.readexactly(100_000)
        arrived.set()
        await exchange.reader.readexactly(100_000)
        await exchange.answer_json("all")

    read.reads_body_itself = True  # type: ignore[attr-defined]
    service.handler = read
    client = await shared_gateway.connect()
    await client.send(post(bearer, "Content-Length: 200000") + b"x" * 100_000)
    await asyncio.wait_for(arrived.wait(), 3)
    await client.send(b"y" * 100_000)
    status, _, body = await client.read_answer()
    assert (status, body) == (200, b'"all"')
    await client.close()


async def test_a_client_that_leaves_in_a_long_body_leaves_no_complete_one(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    outcome: list[str] = []

    async def read(exchange: Exchange) -> None:
        try:
            while size := int(await exchange.reader.readuntil(b"\r\n"), 16):
                await exchange.reader.readexactly(size + 2)
            outcome.append("complete")
        except (asyncio.IncompleteReadError, ConnectionError):
            outcome.append("broken off")
            raise

    read.reads_body_itself = True  # type: ignore[attr-defined]
    service.handler = read
    client = await shared_gateway.connect()
    await client.send(post(bearer, "Transfer-Encoding: chunked") + b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
    await eventually(lambda: service.requests)
    client.abort()
    await eventually(lambda: outcome)
    assert outcome == ["broken off"]


async def test_expect_is_answered_when_the_body_is_wanted(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    client = await shared_gateway.connect()
    await client.send(post(bearer, "Content-Length: 2", "Expect: 100-continue"))
    assert await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 2) == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"{}")
    assert (await client.read_answer())[0] == 200
    assert service.requests[-1].values("expect") == []
    await client.close()


@pytest.mark.parametrize("lines", [("Content-Length: 2",), ("Content-Length: 99999999", "Authorization: x")])
async def test_expect_is_refused_without_asking_for_the_body(
    shared_gateway: RunningGateway, service: RecordingUpstream, lines: tuple[str, ...]
) -> None:
    head = ["POST /v1/subscriptions HTTP/1.1", "Host: x", *lines, "Expect: 100-continue", "", ""]
    answer = await shared_gateway.exchange("\r\n".join(head).encode(), seconds=3)
    assert b"100 Continue" not in answer
    assert problem_of(answer)[0] in (401, 413)
    assert b"connection: close" in answer
    assert service.requests == []


async def test_a_refusal_before_the_body_reaches_a_client_still_sending(shared_gateway: RunningGateway) -> None:
    client = await shared_gateway.connect()
    client.writer.write(
        b"POST /v1/subscriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + b"x" * 100_000
    )
    await asyncio.sleep(0.2)
    client.writer.write(b"x" * 400_000)
    answer = await client.read_all(seconds=3)
    assert problem_of(answer) == (401, "unauthenticated")
    await client.close()


async def test_a_refused_body_that_has_come_keeps_the_connection(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    client = await shared_gateway.connect()
    await client.send(b"POST /v1/subscriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    assert (await client.read_answer())[0] == 401
    await client.send(post(bearer, "Content-Length: 2") + b"{}")
    assert (await client.read_answer())[0] == 200
    await client.close()


# Heads


async def test_too_long_an_address_is_414(strict_gateway: RunningGateway, bearer: str) -> None:
    async with strict_gateway.client() as client:
        assert (await client.get("/v1/movies?q=" + "x" * 900, headers={"authorization": bearer})).status_code == 200
        answer = await client.get("/v1/movies?q=" + "x" * 1000, headers={"authorization": bearer})
    assert_problem(answer, 414, "uri-too-long")


@pytest.mark.parametrize("headers", [{"x-long": "y" * 5000}, {f"x-{n}": "y" for n in range(40)}, {"y" * 5000: "x"}])
async def test_too_large_headers_are_431(strict_gateway: RunningGateway, headers: dict[str, str]) -> None:
    async with strict_gateway.client() as client:
        answer = await client.get("/v1/movies", headers=headers)
    assert_problem(answer, 431, "headers-too-large")


@pytest.mark.parametrize("start", [b"GET /v1/movies HTTP/1.1\r\nHost: x\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n"])
async def test_a_head_without_end_is_cut_off(strict_gateway: RunningGateway, start: bytes) -> None:
    client = await strict_gateway.connect()
    await client.send(start)
    received = b""
    try:
        for _ in range(100):
            await client.send(b"x" * 1000)
            await asyncio.sleep(0.001)
    except ConnectionError:
        pass
    received = await client.read_all(seconds=3)
    assert problem_of(received)[0] in (414, 431)
    await client.close()


# Times


async def test_a_head_that_does_not_end_in_time_is_408(strict_gateway: RunningGateway) -> None:
    answer = await strict_gateway.exchange(b"GET /v1/movies HTTP/1.1\r\nHost: x\r\n", seconds=3)
    assert problem_of(answer) == (408, "request-timeout")
    assert b"connection: close" in answer


async def test_dripping_does_not_extend_the_time(strict_gateway: RunningGateway) -> None:
    client = await strict_gateway.connect()
    begin = asyncio.get_running_loop().time()
    await client.send(b"GET /v1/movies HTTP/1.1\r\n")
    while not client.reader._buffer and not client.reader.at_eof():  # type: ignore[attr-defined]
        await client.send(b"X-A: b\r\n")
        await asyncio.sleep(0.1)
        assert asyncio.get_running_loop().time() - begin < 3
    assert problem_of(await client.read_all(seconds=3)) == (408, "request-timeout")
    await client.close()


async def test_a_body_that_does_not_come_is_408(
    strict_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    answer = await strict_gateway.exchange(post(bearer, "Content-Length: 20") + b"{", seconds=3)
    assert problem_of(answer) == (408, "request-timeout")
    assert service.requests == []


async def test_a_silent_connection_is_closed_without_a_word(strict_gateway: RunningGateway, bearer: str) -> None:
    client = await strict_gateway.connect()
    assert await client.read_all(seconds=3) == b""
    await client.close()
    client = await strict_gateway.connect()
    await client.send(f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
    assert (await client.read_answer())[0] == 200
    begin = asyncio.get_running_loop().time()
    assert await client.read_all(seconds=3) == b""
    assert 0.6 < asyncio.get_running_loop().time() - begin < 1.5
    await client.close()


async def test_a_long_wait_for_the_service_is_not_the_clients_fault(
    strict_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def slow(exchange: Exchange) -> None:
        await asyncio.sleep(1.2)
        await exchange.answer(200, b"late")

    service.handler = slow
    async with strict_gateway.client() as client:
        answer = await client.post("/v1/subscriptions", content=b"{}", headers={"authorization": bearer})
    assert answer.content == b"late"


# Rates


async def test_a_user_has_a_rate(
    start_gateway: StartGateway, token_issuer: TokenIssuer, service: RecordingUpstream
) -> None:
    async with start_gateway(user_rate=1, user_burst=5) as gateway, gateway.client() as client:
        header = {"authorization": f"Bearer {token_issuer.token()}"}
        answers = [await client.get("/v1/movies", headers=header) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[0].headers["ratelimit-policy"] == '"user";q=5;w=5'
        assert answers[0].headers["ratelimit"] == '"user";r=4;t=2'
        assert_problem(answers[5], 429, "rate-limited")
        assert answers[5].headers["retry-after"] == "1"
        assert answers[5].headers.get_list("ratelimit") == ['"user";r=0;t=1']
        other = await client.get("/v1/movies", headers={"authorization": f"Bearer {token_issuer.token()}"})
        assert other.status_code == 200, "another user has a rate of their own"
        await asyncio.sleep(1.1)
        assert (await client.get("/v1/movies", headers=header)).status_code == 200
        metrics = await gateway.metrics()
        assert metrics['gateway_rate_limited_total{policy="user"}'] == 1


async def test_logins_have_a_stricter_rate_for_an_address(start_gateway: StartGateway) -> None:
    async with start_gateway(credentials_rate=0.5, credentials_burst=3) as gateway, gateway.client() as client:
        paths = ["/v1/auth/login", "/v1/users", "/v1/auth/password/forgot", "/v1/auth/login"]
        answers = [await client.post(path, json={}) for path in paths]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert_problem(answers[3], 429, "rate-limited")
        assert answers[3].headers["retry-after"] == "2"
        assert (await client.post("/v1/auth/refresh", json={})).status_code == 200


async def test_an_address_has_a_rate_that_bad_tokens_use_up_too(
    start_gateway: StartGateway, service: RecordingUpstream
) -> None:
    async with start_gateway(address_rate=1, address_burst=5) as gateway, gateway.client() as client:
        statuses = [
            (await client.get("/v1/movies", headers={"authorization": "Bearer a.b.c"})).status_code for _ in range(7)
        ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert service.requests == []
