"""Services that are restarted, replicas that come and go, and what is then asked again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis.testing.http import assert_problem
from gateway.testing.process import StartGateway, free_port
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream


@pytest.fixture
async def watch() -> AsyncIterator[RecordingUpstream]:
    """A service of the test's own, so that what it does to breakers and addresses ends with it."""
    async with recording_upstream() as upstream:
        yield upstream


async def closes_after(exchange: Exchange) -> None:
    """Answer, then drop the connection without notice at the next request."""
    connection_requests = getattr(exchange.writer, "served", 0)
    exchange.writer.served = connection_requests + 1  # type: ignore[attr-defined]
    if connection_requests:
        exchange.writer.transport.abort()
        raise ConnectionError
    await exchange.answer(200, b"ok")


async def test_a_stale_connection_is_replaced_for_what_may_be_repeated(
    start_gateway: StartGateway, watch: RecordingUpstream, bearer: str
) -> None:
    watch.handler = closes_after
    headers = {"authorization": bearer}
    async with start_gateway(watch=watch.url, retry_per_second=20) as gateway, gateway.client() as client:
        for method, path in (("GET", "/v1/watched"), ("PUT", "/v1/watched/1"), ("DELETE", "/v1/watched/1")):
            for _ in range(3):
                assert (await client.request(method, path, headers=headers)).status_code == 200
        assert (await gateway.metrics())['gateway_upstream_retries_total{upstream="watch"}'] >= 4


async def test_a_post_is_never_repeated(start_gateway: StartGateway, watch: RecordingUpstream, bearer: str) -> None:
    watch.handler = closes_after
    async with start_gateway(subscription=watch.url) as gateway, gateway.client() as client:
        statuses = [
            (await client.post("/v1/subscriptions", json={}, headers={"authorization": bearer})).status_code
            for _ in range(6)
        ]
    assert statuses == [200, 502] * 3
    assert len(watch.requests) == 6


async def test_replays_stay_within_their_budget(
    start_gateway: StartGateway, watch: RecordingUpstream, bearer: str
) -> None:
    async def drop(exchange: Exchange) -> None:
        exchange.writer.transport.abort()
        raise ConnectionError

    watch.handler = drop
    async with (
        start_gateway(watch=watch.url, retry_share=0.1, retry_per_second=1, breaker_failures=1000) as gateway,
        gateway.client() as client,
    ):
        for _ in range(50):
            answer = await client.get("/v1/watched", headers={"authorization": bearer})
            assert_problem(answer, 502, "bad-gateway")
    assert 50 < len(watch.requests) <= 50 + 5 + 3 + 1


async def test_what_may_be_repeated_is_repeated_elsewhere(start_gateway: StartGateway, bearer: str) -> None:
    """Of services that restart in turn, the next may go down just when it is asked again."""
    tries = 0

    async def third_time_lucky(exchange: Exchange) -> None:
        nonlocal tries
        tries += 1
        if tries % 3:
            exchange.writer.transport.abort()
            raise ConnectionError
        await exchange.answer(200, b"ok")

    async with recording_upstream(third_time_lucky) as one, recording_upstream(third_time_lucky) as two:
        async with start_gateway(watch=f"{one.url},{two.url}") as gateway, gateway.client() as client:
            assert (await client.get("/v1/watched", headers={"authorization": bearer})).status_code == 200
        assert sorted((len(one.requests), len(two.requests))) == [1, 2], "never twice in a row at the same address"


@pytest.mark.parametrize(
    ("method", "status", "code"), [("GET", 503, "upstream-unavailable"), ("DELETE", 502, "bad-gateway")]
)
async def test_a_service_that_went_away_with_a_request_does_not_count_as_never_reached(
    start_gateway: StartGateway, bearer: str, method: str, status: int, code: str
) -> None:
    async def go_away(exchange: Exchange) -> None:
        going.append(asyncio.create_task(upstream.stop()))
        await exchange.reader.read()

    going: list[asyncio.Task[None]] = []
    async with recording_upstream(go_away) as upstream, start_gateway(watch=upstream.url) as gateway:
        async with gateway.client() as client:
            answer = await client.request(method, "/v1/watched/1", headers={"authorization": bearer})
        assert_problem(answer, status, code)
        assert len(upstream.requests) == 1
        await asyncio.gather(*going)


async def test_requests_are_spread_and_survive_a_lost_replica(start_gateway: StartGateway, bearer: str) -> None:
    async with recording_upstream() as one, recording_upstream() as two:
        headers = {"authorization": bearer}
        async with start_gateway(watch=f"{one.url},{two.url}") as gateway, gateway.client() as client:
            for _ in range(20):
                assert (await client.get("/v1/watched", headers=headers)).status_code == 200
            assert len(one.requests) == len(two.requests) == 10
            await one.stop()
            for method in ("GET", "GET", "PUT", "GET", "PUT", "GET"):
                path = "/v1/watched/1" if method == "PUT" else "/v1/watched"
                assert (await client.request(method, path, headers=headers)).status_code == 200
            posts = [await client.get("/v1/reports/me", headers=headers) for _ in range(10)]
            assert {answer.status_code for answer in posts} == {200}
            await one.start()
            before = len(one.requests)
            await asyncio.sleep(1.2)
            for _ in range(10):
                assert (await client.get("/v1/watched", headers=headers)).status_code == 200
            assert len(one.requests) > before, "it takes part again"


async def test_a_request_not_sent_yet_may_go_elsewhere_whatever_its_method(
    start_gateway: StartGateway, bearer: str
) -> None:
    async with recording_upstream() as alive:
        dead = f"http://127.0.0.1:{free_port()}"
        async with start_gateway(subscription=f"{dead},{alive.url}") as gateway, gateway.client() as client:
            for _ in range(10):
                answer = await client.post("/v1/subscriptions", json={}, headers={"authorization": bearer})
                assert answer.status_code == 200
        assert len(alive.requests) == 10
