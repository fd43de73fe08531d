"""What a service sees of a request, and a client of an answer."""

import asyncio
import re
import zlib

import pytest

from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import Identity, RunningGateway, StartGateway
from gateway.testing.upstream import Exchange, RecordingUpstream

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def test_path_and_query_go_on_as_they_came(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    target = "/v1/genres/a%20b+c~;=1?q=%2e%2e%2F&&x=%zz&empty=&y=a/../b?c"
    client = await shared_gateway.connect()
    await client.send(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
    status, _, _ = await client.read_answer()
    await client.close()
    assert status == 200
    assert [request.target for request in service.requests] == [target]


async def test_only_listed_headers_go_on(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    spoofed = {
        "X-User-Id": "1",
        "X_User_Id": "1",
        "X.User.Id": "1",
        "X-Roles": "admin",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil",
        "X-Forwarded-Proto": "https",
        "X-Real-Ip": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Original-Url": "/v1/users",
        "X-Rewrite-Url": "/v1/users",
        "X-HTTP-Method-Override": "DELETE",
        "Cookie": "a=b",
        "TE": "trailers",
        "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "Proxy-Authorization": "Basic x",
        "Proxy-Connection": "keep-alive",
        "Range": "bytes=0-1",
    }
    wanted = {
        "Accept": "application/json",
        "Accept-Language": "de",
        "If-None-Match": '"a", "b"',
        "Idempotency-Key": "key-1",
        "User-Agent": "test/1",
        "Tracestate": "vendor=1",
    }
    async with shared_gateway.client() as client:
        await client.post("/v1/subscriptions", json={}, headers={**spoofed, **wanted, "Authorization": bearer})
    request = service.requests[-1]
    names = sorted(name for name, _ in request.headers)
    assert names == sorted(
        [
            "host", "accept", "accept-language", "if-none-match", "idempotency-key", "user-agent", "tracestate",
            "content-type", "content-length", "authorization", "x-request-id", "x-forwarded-for", "traceparent",
        ]
    )  # fmt: skip
    for name, value in wanted.items():
        assert request.values(name.lower()) == [value]
    assert request.values("x-forwarded-for") == ["127.0.0.1"]
    assert request.values("authorization") == [bearer]


async def test_what_connection_names_goes_no_further(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    client = await shared_gateway.connect()
    await client.send(
        f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nAccept-Language: de\r\n"
        "If-Match: 1\r\nConnection: keep-alive, Accept-Language , x-secret\r\nX-Secret: 1\r\n\r\n".encode()
    )
    assert (await client.read_answer())[0] == 200
    await client.close()
    request = service.requests[-1]
    assert request.values("accept-language") == []
    assert request.values("if-match") == ["1"]
    assert request.values("connection") == []


async def test_a_nominated_authorization_does_not_go_on(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    await shared_gateway.exchange(
        f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n"
        "Connection: close, Authorization\r\n\r\n".encode()
    )
    assert service.requests[-1].values("authorization") == []


async def test_public_routes_take_no_token_along(
    shared_gateway: RunningGateway, identity: Identity, bearer: str
) -> None:
    async with shared_gateway.client() as client:
        answer = await client.post("/v1/auth/login", json={}, headers={"authorization": bearer})
    assert answer.status_code == 200
    assert identity.seen("/v1/auth/login")[-1].values("authorization") == []


@pytest.mark.parametrize("offered", ["abc-1", "A" * 128, "req:1/2@x"])
async def test_a_sane_request_id_is_kept(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, offered: str
) -> None:
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies", headers={"authorization": bearer, "x-request-id": offered})
    assert answer.headers["x-request-id"] == offered
    assert service.requests[-1].values("x-request-id") == [offered]


@pytest.mark.parametrize("offered", ["", "A" * 129, "a b", 'a"b', "ä"])
async def test_another_request_id_is_replaced(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, offered: str
) -> None:
    headers = [(b"authorization", bearer.encode()), (b"x-request-id", offered.encode())]
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies", headers=headers)
    assert UUID7.fullmatch(answer.headers["x-request-id"])
    assert service.requests[-1].values("x-request-id") == [answer.headers["x-request-id"]]


async def test_a_trace_is_continued_and_not_returned(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def answer_with_trace(exchange: Exchange) -> None:
        await exchange.answer(200, b"{}", {"traceparent": exchange.request.values("traceparent")[0]})

    service.handler = answer_with_trace
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    async with shared_gateway.client() as client:
        sent = {"authorization": bearer, "traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        answer = await client.get("/v1/movies", headers=sent)
        await client.get("/v1/movies", headers={"authorization": bearer, "traceparent": "00-zero"})
    first, second = (request.values("traceparent")[0] for request in service.requests)
    assert first.startswith(f"00-{trace}-")
    assert first.endswith("-01")
    assert "00f067aa0ba902b7" not in first
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", second)
    assert "traceparent" not in answer.headers


@pytest.mark.parametrize("offered", [None, "00-zero", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"])
async def test_the_state_of_a_trace_that_is_not_continued_goes_no_further(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, offered: str | None
) -> None:
    headers = {"authorization": bearer, "tracestate": "vendor=1", "accept": "text/csv"}
    if offered is not None:
        headers["traceparent"] = offered
    async with shared_gateway.client() as client:
        await client.get("/v1/movies", headers=headers)
    request = service.requests[-1]
    assert request.values("tracestate") == []
    assert request.values("accept") == ["text/csv"]


async def test_answers_come_back_untouched_but_for_what_is_between_hops(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    zipped = zlib.compress(b"x" * 1000)

    async def answer(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 207 Odd Phrase\r\nServer: uvicorn\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
            b'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Encoding: deflate\r\nETag: "1"\r\n'
            b"Connection: X-Internal\r\nX-Internal: secret\r\nKeep-Alive: timeout=5\r\nX-Powered-By: x\r\n"
            b"X-Content-Type-Options: sniff\r\nX-Request-Id: theirs\r\n"
            b"Content-Length: " + str(len(zipped)).encode() + b"\r\n\r\n" + zipped
        )

    service.handler = answer
    client = await shared_gateway.connect()
    await client.send(f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
    head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
    body = await client.reader.readexactly(len(zipped))
    await client.close()
    names = [line.split(":")[0].lower() for line in head.split("\r\n")[1:-2]]
    assert head.startswith("HTTP/1.1 207 ")
    assert body == zipped
    assert names.count("set-cookie") == 2
    assert names.count("date") == 1
    assert names.count("x-content-type-options") == 1
    assert "nosniff" in head
    assert "theirs" not in head
    assert "1970" not in head
    assert not {"server", "x-internal", "keep-alive", "x-powered-by", "connection"} & set(names)


async def test_a_redirect_is_passed_on_and_not_followed(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def redirect(exchange: Exchange) -> None:
        await exchange.answer(302, b"", {"location": "http://169.254.169.254/"})

    service.handler = redirect
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies", headers={"authorization": bearer})
    assert (answer.status_code, answer.headers["location"]) == (302, "http://169.254.169.254/")
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_leave_the_connections_usable(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, status: int
) -> None:
    async def answer(exchange: Exchange) -> None:
        length = b"content-length: 99\r\n" if status == 304 else b""
        await exchange.send(b'HTTP/1.1 %d X\r\netag: "1"\r\n%s\r\n' % (status, length))

    service.handler = answer
    before = service.connections
    client = await shared_gateway.connect()
    for _ in range(3):
        await client.send(f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d" % status)
        assert b"transfer-encoding" not in head
    await client.close()
    assert service.connections <= before + 1


async def test_head_has_the_headers_and_no_body(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        body = b"" if exchange.request.method == "HEAD" else b"x" * 10
        await exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n" + body)

    service.handler = answer
    client = await shared_gateway.connect()
    for method in ("HEAD", "GET", "HEAD", "HEAD", "GET"):
        await client.send(f"{method} /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
        assert b"content-length: 10" in head
        if method == "GET":
            assert await client.reader.readexactly(10) == b"x" * 10
    await client.close()
    assert [request.method for request in service.requests] == ["HEAD", "GET", "HEAD", "HEAD", "GET"]


async def test_informational_answers_are_not_the_answer(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        await exchange.answer(201, b"made")

    service.handler = answer
    async with shared_gateway.client() as client:
        for _ in range(2):
            answered = await client.post("/v1/subscriptions", json={}, headers={"authorization": bearer})
            assert (answered.status_code, answered.content) == (201, b"made")
            assert "link" not in answered.headers


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_answer_in_chunks_is_streamed(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, version: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await asyncio.sleep(0.2)
        await exchange.send(b"6;ext=1\r\nsecond\r\n0\r\nTrailer: x\r\n\r\n")

    service.handler = answer
    client = await shared_gateway.connect()
    await client.send(f"GET /v1/watched HTTP/{version}\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
    head = await client.reader.readuntil(b"\r\n\r\n")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    assert b"first" in await client.reader.read(100)
    assert loop.time() - begin < 0.15, "the first part has to come before the second is there"
    rest = await client.read_all(seconds=0.6)
    await client.close()
    if version == "1.1":
        assert b"transfer-encoding: chunked" in head
        assert rest == b"6\r\nsecond\r\n0\r\n\r\n"
    else:
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert rest == b"second"


async def test_an_answer_that_ends_with_its_connection_is_complete(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        exchange.close = True

    service.handler = answer
    async with shared_gateway.client() as client:
        answered = await client.get("/v1/movies", headers={"authorization": bearer})
    assert answered.content == b"until the end"


async def test_pipelined_requests_are_answered_in_order(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async def answer(exchange: Exchange) -> None:
        if exchange.request.target.endswith("=0"):
            await asyncio.sleep(0.2)
        await exchange.answer(200, exchange.request.target.encode())

    service.handler = answer
    client = await shared_gateway.connect()
    head = f"Host: x\r\nAuthorization: {bearer}\r\n\r\n"
    await client.send("".join(f"GET /v1/movies?n={n} HTTP/1.1\r\n{head}" for n in range(40)).encode())
    for n in range(40):
        _, _, body = await client.read_answer()
        assert body == f"/v1/movies?n={n}".encode()
    await client.close()


async def test_every_answer_has_the_security_headers(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async with shared_gateway.client() as client:
        for path in ("/v1/movies", "/v1/nothing", "/docs", "/livez", "/v1/users/"):
            answer = await client.get(path, headers={"authorization": bearer})
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert answer.headers["x-request-id"]
            assert "server" not in answer.headers
            assert len(answer.headers.get_list("date")) == 1


async def test_origins_are_allowed_by_name(start_gateway: StartGateway, token_issuer: TokenIssuer, bearer: str) -> None:
    async with (
        start_gateway(cors_origins="https://app.example, https://other.example") as gateway,
        gateway.client() as client,
    ):
        preflight = {"origin": "https://app.example", "access-control-request-method": "PATCH"}
        answer = await client.options("/v1/packages/1", headers=preflight)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "PATCH" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        assert "access-control-allow-credentials" not in answer.headers
        answer = await client.get("/v1/movies", headers={"origin": "https://other.example", "authorization": bearer})
        assert answer.headers["access-control-allow-origin"] == "https://other.example"
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert answer.headers["vary"] == "origin"
        for origin in ("https://evil.example", "null", "https://app.example.evil"):
            answer = await client.get("/v1/movies", headers={"origin": origin, "authorization": bearer})
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["vary"] == "origin", "a cache must not keep it for an origin that may"
            answer = await client.options("/v1/movies", headers={**preflight, "origin": origin})
            assert answer.status_code == 405
        answer = await client.get("/v1/movies", headers={"authorization": bearer})
        assert answer.headers["vary"] == "origin"
