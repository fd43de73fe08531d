"""Requests to the suite's other services when one of several replicas is away."""

import asyncio

import httpx

from chassis.http import Peer


async def test_requests_at_the_same_time_all_reach_the_replica_that_lives() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        if request.url.host == "dead":
            raise httpx.ConnectError("refused")
        return httpx.Response(200)

    peer = Peer("catalog", ["http://dead", "http://living"], transport=httpx.MockTransport(answer))
    answers = await asyncio.gather(*(peer.get("/", token="a") for _ in range(40)))
    assert {found.status_code for found in answers} == {200}
    await peer.aclose()


async def test_replicas_are_asked_in_turn() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(200)

    peer = Peer("catalog", ["http://one", "http://two", "http://three"], transport=httpx.MockTransport(answer))
    for _ in range(6):
        await peer.get("/", token="a")
    assert asked == ["one", "two", "three"] * 2
    await peer.aclose()
