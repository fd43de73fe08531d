"""Requests that are framed wrongly or ambiguously: refused, and never seen by a service."""

import asyncio
import json

import pytest

from gateway.testing.process import RunningGateway
from gateway.testing.upstream import RecordingUpstream

HEAD = "Host: x\r\nAuthorization: {bearer}\r\n"
SMUGGLED = "GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

POST = "POST /v1/subscriptions HTTP/1.1\r\n{head}"
GET = "GET /v1/movies HTTP/1.1\r\n{head}"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n"

BAD = {
    "both lengths": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "both, other order": CHUNKED + "Content-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two different lengths": POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}   ",
    "two equal lengths": POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}",
    "length list": POST + "Content-Length: 2, 2\r\n\r\n{{}}",
    "signed length": POST + "Content-Length: +2\r\n\r\n{{}}",
    "negative length": POST + "Content-Length: -2\r\n\r\n{{}}",
    "hexadecimal length": POST + "Content-Length: 0x2\r\n\r\n{{}}",
    "huge length": POST + "Content-Length: 99999999999999999999999\r\n\r\n{{}}",
    "unknown coding": POST + "Transfer-Encoding: gzip\r\n\r\n{{}}",
    "gzip and chunked": POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two lines": CHUNKED + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "space before colon": POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": "POST /v1/subscriptions HTTP/1.0\r\n{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": CHUNKED + "\r\nzz\r\nab\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + "\r\n2\r\nabcdef\r\n0\r\n\r\n",
    "chunk size overflow": CHUNKED + "\r\nfffffffffffffffff\r\nab\r\n0\r\n\r\n",
    "bare LF in chunk": CHUNKED + "\r\n2\nab\n0\n\n",
    "folded header": GET + "Accept: a\r\n b\r\n\r\n",
    "bare LF": "GET /v1/movies HTTP/1.1\nHost: x\nAuthorization: {bearer}\n\n",
    "bare LF in one header": GET + "Accept: a\nX: b\r\n\r\n",
    "bare CR": GET + "Accept: a\rX: b\r\n\r\n",
    "NUL in a value": GET + "Accept: a\0b\r\n\r\n",
    "header without colon": GET + "Nonsense\r\n\r\n",
    "header without name": GET + ": x\r\n\r\n",
    "space in a name": GET + "Acc ept: x\r\n\r\n",
    "no host": "GET /v1/movies HTTP/1.1\r\nAuthorization: {bearer}\r\n\r\n",
    "two hosts": GET + "Host: y\r\n\r\n",
    "two tokens": GET + "Authorization: {bearer}\r\n\r\n",
    "two content types": POST + "Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\n{{}}",
    "two idempotency keys": POST + "Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n\r\n{{}}",
    "absolute form": "GET http://evil/v1/movies HTTP/1.1\r\n{head}\r\n",
    "authority form": "CONNECT evil:443 HTTP/1.1\r\n{head}\r\n",
    "asterisk form": "OPTIONS * HTTP/1.1\r\n{head}\r\n",
    "fragment": "GET /v1/movies#x HTTP/1.1\r\n{head}\r\n",
    "no version": "GET /v1/movies\r\n{head}\r\n",
    "HTTP/2.0": "GET /v1/movies HTTP/2.0\r\n{head}\r\n",
    "HTTP/1.9": "GET /v1/movies HTTP/1.9\r\n{head}\r\n",
    "preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": "FETCH /v1/movies HTTP/1.1\r\n{head}\r\n",
    "lower-case method": "get /v1/movies HTTP/1.1\r\n{head}\r\n",
    "space in the target": "GET /v1/movies x HTTP/1.1\r\n{head}\r\n",
    "control character in the target": "GET /v1/movies\x01 HTTP/1.1\r\n{head}\r\n",
    "not ASCII in the target": "GET /v1/movies?q=\xe4 HTTP/1.1\r\n{head}\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "upgrade with a body": POST + "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{{}}",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_it_is_refused_and_reaches_nobody(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, name: str
) -> None:
    text = BAD[name].format(head=HEAD.format(bearer=bearer), bearer=bearer)
    answer = await shared_gateway.exchange(text.encode("latin-1"), seconds=1.0)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert b"content-type: application/problem+json" in head
    document = json.loads(body)
    assert document["code"] == "malformed-request"
    assert f"x-request-id: {document['requestId']}".encode() in head
    assert answer.count(b"HTTP/1.1 ") == 1, "the smuggled request was answered"
    assert service.requests == []
    assert service.bytes_received == 0


@pytest.mark.parametrize(
    "head",
    [
        "Transfer-Encoding: Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
        "Content-Length: 02\r\n\r\n{}",
    ],
)
async def test_a_body_goes_on_with_a_length_of_our_own(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, head: str
) -> None:
    text = f"POST /v1/subscriptions HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n{head}"
    answer = await shared_gateway.exchange(text.encode(), seconds=0.5)
    assert answer.startswith(b"HTTP/1.1 200 ")
    request = service.requests[-1]
    assert request.values("content-length") == ["2"]
    assert request.values("transfer-encoding") == []
    assert request.body == b"{}"


async def test_a_second_request_in_a_body_stays_a_body(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    text = POST.format(head=HEAD.format(bearer=bearer)) + f"Content-Length: {len(SMUGGLED)}\r\n\r\n"
    answer = await shared_gateway.exchange((text + SMUGGLED).encode(), seconds=0.5)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert [request.body for request in service.requests] == [SMUGGLED.encode()]


async def test_what_follows_a_bad_request_is_not_read(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    good = f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n"
    answer = await shared_gateway.exchange((good + "NONSENSE\r\n\r\n" + good).encode(), seconds=1.0)
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 400 ") == 1
    assert answer.index(b"HTTP/1.1 200 ") < answer.index(b"HTTP/1.1 400 ")
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "half",
    [
        POST + "Content-Length: 10\r\n\r\n{{}}",
        CHUNKED + "\r\n5\r\nab",
        GET,
    ],
)
async def test_a_half_sent_request_reaches_nobody(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, half: str
) -> None:
    for abort in (False, True):
        client = await shared_gateway.connect()
        await client.send(half.format(head=HEAD.format(bearer=bearer)).encode())
        await asyncio.sleep(0.1)
        if abort:
            client.abort()
        else:
            await client.close()
    await asyncio.sleep(0.2)
    assert service.requests == []
    assert service.bytes_received == 0


async def test_a_request_in_single_bytes_is_understood(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    client = await shared_gateway.connect()
    text = f"\r\nPUT /v1/watched/603 HTTP/1.1\r\nhost: x\r\nauthorization: {bearer}\r\ncontent-length: 2\r\n\r\n{{}}"
    for byte in text.encode():
        await client.send(bytes([byte]))
    status, _, _ = await client.read_answer()
    await client.close()
    assert status == 200
    assert service.requests[-1].body == b"{}"


async def test_an_offer_to_upgrade_is_answered_in_http_1_1(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    text = (
        f"GET /v1/movies HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        "Upgrade: websocket\r\nHTTP2-Settings: x\r\n\r\n" + SMUGGLED
    )
    answer = await shared_gateway.exchange(text.encode(), seconds=1.0)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer
    assert service.requests[-1].values("upgrade") == []


async def test_http_1_0_is_answered_and_closed(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    text = f"GET /v1/movies HTTP/1.0\r\nAuthorization: {bearer}\r\nConnection: keep-alive\r\n\r\n"
    answer = await shared_gateway.exchange(text.encode(), seconds=5)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "path",
    [
        "/v1/movies/%2e%2e/%2e%2e/internal/v1/revocations",
        "/v1/movies/../users",
        "/v1//movies",
        "//v1/movies",
        "/v1/movies/a%2Fb",
        "/v1/movies/a%5cb",
        "/v1/movies/%00",
        "/v1/movies/%0d%0aX:1",
        "/v1/movies/%zz",
        "/v1/movies/.",
    ],
)
async def test_an_ambiguous_path_reaches_nobody(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, path: str
) -> None:
    text = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n"
    answer = await shared_gateway.exchange(text.encode(), seconds=0.3)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["instance"] == path
    assert service.requests == []
