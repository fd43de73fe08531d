"""Requests to the suite's other services when one of several replicas is away."""

import asyncio

import httpx
import pytest

from chassis.http import Peer, PeerUnavailableError


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


@pytest.mark.parametrize(("is_idempotent", "tries"), [(True, 3), (False, 1)])
async def test_only_what_may_be_repeated_is_tried_again(is_idempotent: bool, tries: int) -> None:
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        raise httpx.ReadTimeout("the request may have been carried out")

    peer = Peer("catalog", ["http://one", "http://two"], transport=httpx.MockTransport(answer))
    with pytest.raises(PeerUnavailableError):
        await peer.request("POST", "/", token="a", json={}, idempotent=is_idempotent)
    assert asked == tries
    await peer.aclose()


async def test_tries_end_with_the_deadline() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503)

    peer = Peer("catalog", ["http://one"], deadline_seconds=0.5, attempts=1000, transport=httpx.MockTransport(answer))
    with pytest.raises(PeerUnavailableError):
        async with asyncio.timeout(2):
            await peer.get("/", token="a")
    await peer.aclose()
