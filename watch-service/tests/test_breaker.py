"""The circuit breaker: when it opens, what it lets through, when it closes."""

import asyncio

import pytest

from chassis.errors import UnavailableError
from chassis.http import PeerUnavailableError
from watch.clients.breaker import CircuitBreaker


class _Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> _Time:
    return _Time()


@pytest.fixture
def breaker(time: _Time) -> CircuitBreaker:
    return CircuitBreaker(threshold=3, open_seconds=2.0, now=time)


async def _call(breaker: CircuitBreaker, error: Exception | None = None) -> None:
    async with breaker.guard():
        if error is not None:
            raise error


async def _fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(PeerUnavailableError):
            await _call(breaker, PeerUnavailableError())


async def test_it_opens_after_failures_in_a_row_only(breaker: CircuitBreaker) -> None:
    await _fail(breaker, 2)
    await _call(breaker)
    await _fail(breaker, 2)
    assert not breaker.is_open
    await _fail(breaker, 1)
    assert breaker.is_open


async def test_other_errors_are_no_failures_of_the_peer(breaker: CircuitBreaker) -> None:
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await _call(breaker, UnavailableError())
    assert not breaker.is_open


async def test_open_it_refuses_at_once_and_says_when_to_come_back(breaker: CircuitBreaker, time: _Time) -> None:
    await _fail(breaker, 3)
    time.now += 0.5
    called = False
    with pytest.raises(PeerUnavailableError) as refusal:
        async with breaker.guard():
            called = True
    assert not called
    assert refusal.value.headers["Retry-After"] == "2"


async def test_then_one_call_tries_and_closes_it(breaker: CircuitBreaker, time: _Time) -> None:
    await _fail(breaker, 3)
    time.now += 2.0
    async with breaker.guard():
        with pytest.raises(PeerUnavailableError):
            await _call(breaker)
    await _call(breaker)
    assert not breaker.is_open


async def test_a_failed_try_opens_it_again(breaker: CircuitBreaker, time: _Time) -> None:
    await _fail(breaker, 3)
    time.now += 2.0
    await _fail(breaker, 1)
    time.now += 1.9
    with pytest.raises(PeerUnavailableError):
        await _call(breaker)
    time.now += 0.1
    await _call(breaker)


async def test_a_try_that_is_cancelled_lets_the_next_one_try(breaker: CircuitBreaker, time: _Time) -> None:
    await _fail(breaker, 3)
    time.now += 2.0
    with pytest.raises(asyncio.CancelledError):
        async with breaker.guard():
            raise asyncio.CancelledError
    await _call(breaker)
    assert not breaker.is_open
