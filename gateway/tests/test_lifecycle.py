"""Start, readiness, outage of the keys, reload, and the end."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from chassis.testing.http import assert_problem
from chassis.testing.tokens import TokenIssuer
from gateway import routes
from gateway.testing.process import Identity, RunningGateway, StartGateway, eventually
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream

ROUTES_SOURCE = Path(routes.__file__).read_text()


async def test_nobody_is_let_in_before_the_keys_are_known(
    start_gateway: StartGateway, token_issuer: TokenIssuer, service: RecordingUpstream
) -> None:
    identity = Identity(token_issuer)
    identity.serves_keys = False
    await identity.start()
    headers = {"authorization": f"Bearer {token_issuer.token()}"}
    async with start_gateway(identity=identity.url, wait_ready=False) as gateway, gateway.client() as client:
        assert await gateway.readiness() == 503
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        answer = await client.get("/v1/movies", headers=headers)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert service.requests == []
        assert (await client.post("/v1/auth/login", json={})).status_code == 200, "no token is needed here"
        identity.serves_keys = True
        await _ready(gateway)
        assert (await client.get("/v1/movies", headers=headers)).status_code == 200
        identity.serves_keys = False
        await identity.stop()
        fresh = {"authorization": f"Bearer {token_issuer.token()}"}
        assert (await client.get("/v1/movies", headers=fresh)).status_code == 200, "the keys are kept"
        assert await gateway.readiness() == 200


async def test_nobody_is_let_in_before_the_ended_sessions_are_known(
    start_gateway: StartGateway, token_issuer: TokenIssuer, bearer: str
) -> None:
    identity = Identity(token_issuer)

    async def away(exchange: Exchange) -> None:
        await exchange.answer(503)

    snapshot = identity.paths["/internal/v1/revocations"]
    identity.paths["/internal/v1/revocations"] = away
    await identity.start()
    async with start_gateway(identity=identity.url, wait_ready=False) as gateway, gateway.client() as client:
        assert await gateway.readiness() == 503
        answer = await client.get("/v1/movies", headers={"authorization": bearer})
        assert_problem(answer, 503, "gateway-starting")
        identity.paths["/internal/v1/revocations"] = snapshot
        await _ready(gateway)
        assert (await client.get("/v1/movies", headers={"authorization": bearer})).status_code == 200
        token = identity.seen("/internal/v1/revocations")[-1].values("authorization")[0]
        assert token.startswith("Bearer ")
    await identity.stop()


async def _ready(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + 15
    while await gateway.readiness() != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_new_key_is_found_when_it_is_first_used(start_gateway: StartGateway, token_issuer: TokenIssuer) -> None:
    identity = Identity(token_issuer)
    await identity.start()
    async with start_gateway(identity=identity.url) as gateway, gateway.client() as client:
        new = TokenIssuer("new-key")
        document = {"keys": [*token_issuer.jwks()["keys"], *new.jwks()["keys"]]}

        async def both(exchange: Exchange) -> None:
            await exchange.answer_json(document)

        identity.paths["/.well-known/jwks.json"] = both
        tokens = [new.token() for _ in range(10)]
        answers = await asyncio.gather(
            *(client.get("/v1/movies", headers={"authorization": f"Bearer {token}"}) for token in tokens)
        )
        assert {answer.status_code for answer in answers} == {200}
        fetches = len(identity.seen("/.well-known/jwks.json"))
        stranger = TokenIssuer("unknown-key")
        for _ in range(10):
            answer = await client.get("/v1/movies", headers={"authorization": f"Bearer {stranger.token()}"})
            assert_problem(answer, 401, "invalid-token")
        assert len(identity.seen("/.well-known/jwks.json")) == fetches, "asked once in the cool-down"
    await identity.stop()


async def test_a_term_signal_lets_requests_finish(start_gateway: StartGateway, bearer: str) -> None:
    started = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        started.set()
        await asyncio.sleep(1.0)
        await exchange.answer(200, b"finished")

    async with (
        recording_upstream(slow) as upstream,
        start_gateway(watch=upstream.url, drain_notice_seconds=0.4) as gateway,
    ):
        idle = await gateway.connect()
        head = f"GET /v1/watched HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n"
        busy = await gateway.connect()
        await busy.send(head.encode())
        await asyncio.wait_for(started.wait(), 3)
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        async with gateway.client() as client:
            assert (await client.get("/readyz")).status_code == 503, "not ready before the port closes"
            assert (await client.get("/v1/movies", headers={"authorization": bearer})).status_code == 200
        status, headers, body = await busy.read_answer()
        assert (status, body) == (200, b"finished")
        assert headers["connection"] == "close"
        assert await idle.read_all(seconds=2) == b""
        assert await asyncio.wait_for(gateway.process.wait(), 5) == 0
        with pytest.raises(OSError):
            await gateway.connect()
        await busy.close()
        await idle.close()


async def test_a_request_that_does_not_finish_ends_with_the_grace(start_gateway: StartGateway, bearer: str) -> None:
    async def never(exchange: Exchange) -> None:
        await exchange.reader.read()

    async with recording_upstream(never) as upstream, start_gateway(watch=upstream.url, drain_seconds=1) as gateway:
        client = await gateway.connect()
        await client.send(f"GET /v1/watched HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer}\r\n\r\n".encode())
        await eventually(lambda: upstream.requests)
        begin = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gateway.process.wait(), 5) == 0
        assert time.monotonic() - begin < 3
        client.abort()


async def test_the_route_table_is_read_again_on_hup(
    start_gateway: StartGateway, bearer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the data module is put in front of the real one, so that it can be changed."""
    copy = tmp_path / "routes_copy.py"
    text = ROUTES_SOURCE
    copy.write_text(text)
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util, sys, gateway\n"
        f"spec = importlib.util.spec_from_file_location('gateway.routes', {str(copy)!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['gateway.routes'] = gateway.routes = module\n"
        "spec.loader.exec_module(module)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return spec if name == 'gateway.routes' else None\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    async with start_gateway() as gateway, gateway.client() as client:
        headers = {"authorization": bearer}
        assert (await client.get("/v1/added", headers=headers)).status_code == 404
        copy.write_text(
            text.replace('"/v1/movies": {"GET": USER},', '"/v1/movies": {"GET": USER},\n"/v1/added": {"GET": USER},')
        )
        gateway.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        assert (await client.get("/v1/added", headers=headers)).status_code == 200
        copy.write_text(text.replace('"catalog": {', '"nowhere": {'))
        gateway.process.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        assert (await client.get("/v1/added", headers=headers)).status_code == 200, "a bad table keeps the old one"
        assert "not reloaded" in gateway.log.read_text()


async def test_requests_are_counted_by_template_and_logged_as_json(
    start_gateway: StartGateway, token_issuer: TokenIssuer, service: RecordingUpstream
) -> None:
    async with start_gateway() as gateway, gateway.client() as client:
        token = token_issuer.token()
        answer = await client.get(
            "/v1/movies/603?secret=1", headers={"authorization": f"Bearer {token}", "x-request-id": "logged-1"}
        )
        assert answer.status_code == 200
        await client.get("/v1/movies/604", headers={"authorization": "Bearer x.y.z"})
        await client.get("/wp-admin")
        await asyncio.sleep(0.4)
        metrics = await gateway.metrics()
        assert metrics['http_requests_total{method="GET",route="/v1/movies/{id}",status="200"}'] == 1
        assert metrics['http_requests_total{method="GET",route="/v1/movies/{id}",status="401"}'] == 1
        assert metrics['http_requests_total{method="OTHER",route="unmatched",status="404"}'] == 1
        assert metrics['http_request_seconds_count{method="GET",route="/v1/movies/{id}"}'] == 2
        assert metrics['http_request_seconds_bucket{le="+Inf",method="GET",route="/v1/movies/{id}"}'] == 2
        log = gateway.log.read_text()
        line = next(line for line in map(json.loads, log.splitlines()) if line.get("requestId") == "logged-1")
        assert line["route"] == "/v1/movies/{id}"
        assert line["status"] == 200
        assert line["address"] == "127.0.0.1"
        assert len(line["traceId"]) == 32
        assert "secret" not in log
        assert token not in log
