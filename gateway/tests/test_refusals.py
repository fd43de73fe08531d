"""Who is let in, and the one shape of every refusal."""

import base64
import json
import time
from collections.abc import Callable

import pytest

from chassis.testing.http import assert_problem
from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import Identity, RunningGateway
from gateway.testing.upstream import RecordingUpstream


async def test_no_token_is_401_and_reaches_nobody(shared_gateway: RunningGateway, service: RecordingUpstream) -> None:
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies")
    assert_problem(answer, 401, "unauthenticated")
    assert service.requests == []


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt", "kid": "test-key"}).encode())
    return f"{header.decode().rstrip('=')}.{token.split('.')[1]}."


@pytest.mark.parametrize(
    "spoil",
    [
        lambda issuer: "nonsense",
        lambda issuer: "a.b.c",
        lambda issuer: issuer.token()[:-4] + "AAAA",
        lambda issuer: unsigned(issuer.token()),
        lambda issuer: issuer.token(exp=int(time.time()) - 10, iat=int(time.time()) - 300, nbf=int(time.time()) - 300),
        lambda issuer: issuer.token(aud="another"),
        lambda issuer: issuer.token(iss="https://evil.example"),
        lambda issuer: issuer.token(headers={"typ": "JWT"}),
        lambda issuer: TokenIssuer().token(),
        lambda issuer: TokenIssuer("other-key").token(),
        lambda issuer: issuer.token(sid=None),
        lambda issuer: "x" * 5000,
    ],
)
async def test_a_token_that_is_not_ours_is_401(
    shared_gateway: RunningGateway,
    service: RecordingUpstream,
    token_issuer: TokenIssuer,
    spoil: Callable[[TokenIssuer], str],
) -> None:
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies", headers={"authorization": f"Bearer {spoil(token_issuer)}"})
    assert_problem(answer, 401, "invalid-token")
    assert service.requests == []


@pytest.mark.parametrize("value", ["", "Bearer", "Basic abc", "Token {}", "{}", "Bearer {} x", "Bearer,{}"])
async def test_only_a_bearer_token_counts(
    shared_gateway: RunningGateway, service: RecordingUpstream, token_issuer: TokenIssuer, value: str
) -> None:
    async with shared_gateway.client() as client:
        header = {"authorization": value.format(token_issuer.token())}
        answer = await client.get(f"/v1/movies?access_token={token_issuer.token()}", headers=header)
    assert_problem(answer, 401, "unauthenticated")
    assert service.requests == []


async def test_the_scheme_is_read_without_regard_to_case(
    shared_gateway: RunningGateway, service: RecordingUpstream, token_issuer: TokenIssuer
) -> None:
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies", headers={"authorization": f"bEARER  {token_issuer.token()}"})
    assert answer.status_code == 200
    assert service.requests[-1].values("authorization")[0].startswith("Bearer ey")


async def test_an_admin_route_is_403_for_a_user(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, admin_bearer: str
) -> None:
    async with shared_gateway.client() as client:
        refused = await client.post("/v1/packages", json={}, headers={"authorization": bearer})
        assert_problem(refused, 403, "forbidden")
        assert service.requests == []
        allowed = await client.post("/v1/packages", json={}, headers={"authorization": admin_bearer})
    assert allowed.status_code == 200
    assert len(service.requests) == 1


async def test_unknown_and_trailing_slash_are_404(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    async with shared_gateway.client() as client:
        for path in (
            "/v1/nothing",
            "/v1/movies/",
            "/V1/movies",
            "/internal/v1/revocations",
            "/metrics",
            "/v2",
            "/docs/x.js",
        ):
            answer = await client.get(path, headers={"authorization": bearer})
            document = assert_problem(answer, 404, "not-found")
            assert document["instance"] == path
    assert service.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY"])
async def test_another_method_is_405_with_allow(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, method: str
) -> None:
    async with shared_gateway.client() as client:
        answer = await client.request(method, "/v1/movies", headers={"authorization": bearer})
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert service.requests == []


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "x" * 50])
async def test_a_compressed_body_is_415_and_reaches_nobody(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str, coding: str
) -> None:
    headers = {"authorization": bearer, "content-encoding": coding, "content-type": "application/json"}
    async with shared_gateway.client() as client:
        answer = await client.put("/v1/watched/1", headers=headers, content=b"\x1f\x8b")
        unbroken = await client.get("/v1/movies", headers=headers)
    assert_problem(answer, 415, "unsupported-media-type")
    assert unbroken.status_code == 200
    assert [request.method for request in service.requests] == ["GET"]


async def test_a_body_may_say_that_it_is_not_compressed(
    shared_gateway: RunningGateway, service: RecordingUpstream, bearer: str
) -> None:
    headers = {"authorization": bearer, "content-encoding": "Identity"}
    async with shared_gateway.client() as client:
        await client.put("/v1/watched/1", headers=headers, json={"name": "A"})
    assert service.requests[0].body == b'{"name":"A"}'


async def test_a_refused_head_has_no_body(shared_gateway: RunningGateway) -> None:
    client = await shared_gateway.connect()
    for _ in range(2):
        await client.send(b"HEAD /v1/movies HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 401 ")
    await client.close()


async def test_a_problem_names_its_request(shared_gateway: RunningGateway) -> None:
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies?secret=1", headers={"x-request-id": "mine-1"})
    document = answer.json()
    assert document["requestId"] == answer.headers["x-request-id"] == "mine-1"
    assert document["instance"] == "/v1/movies"
    assert document["type"] == "/docs/problems#unauthenticated"
    assert answer.headers["cache-control"] == "no-store"


async def test_a_service_cannot_be_reached_with_the_key_set_forged(
    shared_gateway: RunningGateway, identity: Identity, service: RecordingUpstream, token_issuer: TokenIssuer
) -> None:
    forged = token_issuer.token(headers={"jku": f"{identity.url}/evil.json"})
    async with shared_gateway.client() as client:
        answer = await client.get("/v1/movies", headers={"authorization": f"Bearer {forged}"})
    assert_problem(answer, 401, "invalid-token")
    assert identity.seen("/evil.json") == []
