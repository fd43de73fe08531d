"""Rate limits, deny-list, breaker, budget and balancer, without a network."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chassis.events.envelope import Event, decode
from chassis.events.topology import contracts_directory, load_topology
from chassis.ids import new_id
from chassis.tokens import Principal
from gateway.batch import Batch
from gateway.errors import RateLimitedError
from gateway.headers import TrustedProxies
from gateway.rate_limit import Policy, RateLimiter, address_key
from gateway.revocations import EVENT_TYPES, SESSION_REVOKED, USER_CHANGED, USER_DELETED, Revocations
from gateway.upstream.balancer import Balancer, Endpoint
from gateway.upstream.breaker import BreakerState, CircuitBreaker, RetryBudget
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.pool import PoolLimits, UpstreamPool


def principal(user: uuid.UUID | None = None, session: uuid.UUID | None = None, version: int = 1) -> Principal:
    return Principal(user or new_id(), session or new_id(), frozenset({"user"}), version, 0, 0, "token")


def event(kind: str, revision: int = 1, **data: Any) -> Event:
    return Event(kind, "/identity", "user/x", {"revision": revision, **data})


def changed(user: uuid.UUID, revision: int, status: str, minimum: int) -> Event:
    return event(USER_CHANGED, revision, userId=str(user), status=status, roles=["user"], minVersion=minimum)


# Rate limits


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    limiter = RateLimiter(Policy("user", rate=2, burst=3))
    for _ in range(3):
        limiter.take("a", 100.0)
    with pytest.raises(RateLimitedError) as caught:
        limiter.take("a", 100.0)
    assert caught.value.headers == {
        "Retry-After": "1",
        "RateLimit-Policy": '"user";q=3;w=2',
        "RateLimit": '"user";r=0;t=1',
    }
    limiter.take("b", 100.0)
    limiter.take("a", 100.5)
    with pytest.raises(RateLimitedError):
        limiter.take("a", 100.5)
    assert limiter.refused == 2


def test_the_header_lines_tell_what_remains() -> None:
    limiter = RateLimiter(Policy("user", rate=2, burst=10))
    assert (
        limiter.lines(limiter.take("a", 0.0)) == b'ratelimit-policy: "user";q=10;w=5\r\nratelimit: "user";r=9;t=1\r\n'
    )
    limiter.take("a", 0.0)
    assert b"r=7;t=2" in limiter.lines(limiter.take("a", 0.0))


def test_forgetting_idle_buckets_forgets_no_debt() -> None:
    limiter = RateLimiter(Policy("user", rate=1, burst=10))
    now = 0.0
    for _ in range(10):
        limiter.take("debtor", now)
    for step in range(30):
        now = step * 0.5
        limiter.take(f"other-{step}", now)
        if now < 1:
            with pytest.raises(RateLimitedError):
                limiter.take("debtor", now)
    assert len(limiter._young) + len(limiter._old) < 35


def test_a_v6_subscriber_counts_as_one_address() -> None:
    assert address_key("2001:db8:1:2:3::4") == address_key("2001:db8:1:2:ffff::1")
    assert address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")
    assert address_key("192.0.2.1") == "192.0.2.1"


# Whose word on the client's address counts


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "expected"),
    [
        ("", "10.0.0.1", b"6.6.6.6", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", b"6.6.6.6", "6.6.6.6"),
        ("10.0.0.0/8", "10.0.0.1", b"6.6.6.6, 7.7.7.7, 10.0.0.2", "7.7.7.7"),
        ("10.0.0.0/8", "9.9.9.9", b"6.6.6.6", "9.9.9.9"),
        ("10.0.0.0/8", "10.0.0.1", b"6.6.6.6, nonsense", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", None, "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_names_the_client(trusted: str, peer: str, header: bytes | None, expected: str) -> None:
    assert TrustedProxies(trusted).client_address(peer, header) == expected


# Deny-list


def test_an_ended_session_is_refused_and_no_other() -> None:
    revocations = Revocations()
    one = principal()
    until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    revocations.apply_event(event(SESSION_REVOKED, sid=str(one.session_id), userId=str(one.user_id), until=until))
    assert revocations.refuses(one)
    assert not revocations.refuses(principal(user=one.user_id))


def test_a_generation_refuses_older_tokens_only() -> None:
    revocations = Revocations()
    user = new_id()
    revocations.apply_event(changed(user, 5, "active", 3))
    revocations.apply_event(changed(user, 4, "active", 2))
    assert revocations.refuses(principal(user, version=2))
    assert not revocations.refuses(principal(user, version=3))


def test_disabling_and_enabling_follow_the_revision_and_not_the_arrival() -> None:
    revocations = Revocations()
    user = new_id()
    revocations.apply_event(changed(user, 6, "active", 2))
    revocations.apply_event(changed(user, 5, "disabled", 2))
    assert not revocations.refuses(principal(user, version=2))
    revocations.apply_event(changed(user, 7, "disabled", 3))
    assert revocations.refuses(principal(user, version=3))


def test_a_deleted_user_never_comes_back() -> None:
    revocations = Revocations()
    user = new_id()
    revocations.apply_event(event(USER_DELETED, 9, userId=str(user)))
    revocations.apply_event(changed(user, 8, "active", 1))
    assert revocations.refuses(principal(user, version=9))


def test_a_snapshot_adds_and_never_takes_away() -> None:
    revocations = Revocations()
    one, two = principal(), principal()
    until = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
    revocations.apply_event(event(SESSION_REVOKED, sid=str(one.session_id), userId=str(one.user_id), until=until))
    before = revocations.is_informed
    revocations.apply_snapshot(
        {
            "sessions": [],
            "users": [{"userId": str(two.user_id), "minVersion": None, "blocked": True}],
            "asOf": until,
        }
    )
    assert (before, revocations.is_informed) == (False, True)
    assert revocations.refuses(one)
    assert revocations.refuses(two)


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_the_events_of_the_contract_are_understood(kind: str) -> None:
    example = decode((contracts_directory() / "events" / f"{kind}.example.json").read_bytes())
    revocations = Revocations(lambda: 0.0)
    revocations.apply_event(example)
    assert sum(revocations.sizes.values()) >= 1


def test_the_events_heard_are_those_of_the_contract() -> None:
    assert set(EVENT_TYPES) == set(load_topology().listeners["gateway"])


def test_entries_go_when_no_token_can_be_left() -> None:
    now = time.time()
    revocations = Revocations(lambda: now)
    user = new_id()
    revocations.end_session(new_id(), now + 600)
    revocations.apply_event(changed(user, 1, "disabled", 2))
    now += 605.5
    revocations.sweep()
    assert revocations.sizes == {"session": 0, "version": 1, "user": 1}
    now += 310
    revocations.sweep()
    assert revocations.sizes == {"session": 0, "version": 0, "user": 0}


# Breaker and budget


def test_the_breaker_opens_tries_and_closes() -> None:
    breaker = CircuitBreaker(failures=3, open_seconds=1, max_open_seconds=3)
    for _ in range(2):
        breaker.failure(0.0)
    breaker.success()
    for _ in range(3):
        assert breaker.allows(0.0)
        breaker.failure(0.0)
    assert breaker.state(0.5) is BreakerState.OPEN
    assert not breaker.allows(0.5)
    assert breaker.retry_after(0.2) == 1
    assert breaker.state(1.0) is BreakerState.HALF_OPEN
    assert breaker.allows(1.0)
    assert not breaker.allows(1.0), "one trial at a time"
    breaker.failure(1.1)
    assert not breaker.allows(3.0), "the pause has doubled"
    assert breaker.allows(3.2)
    breaker.success()
    assert breaker.state(3.2) is BreakerState.CLOSED
    assert breaker.opened == 1


def test_a_trial_whose_client_left_does_not_keep_the_breaker_open() -> None:
    breaker = CircuitBreaker(failures=1, open_seconds=1, max_open_seconds=1)
    breaker.failure(0.0)
    assert breaker.allows(1.0)
    assert breaker.allows(2.0)


def test_replays_are_a_share_of_the_requests() -> None:
    budget = RetryBudget(share=0.1, per_second=0)
    for _ in range(100):
        budget.deposit()
    assert sum(budget.withdraw(0.0) for _ in range(100)) in (9, 10)


# Balancer


async def test_addresses_take_turns_and_failing_ones_are_left_out() -> None:
    balancer = Balancer("x", ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"])
    await balancer.refresh()
    assert sorted(pick(balancer, 0.0).port for _ in range(3)) == [1, 2, 3]
    failing = next(endpoint for endpoint in balancer.endpoints if endpoint.port == 2)
    failing.unreachable(0.0)
    assert {pick(balancer, 0.1).port for _ in range(6)} == {1, 3}
    assert 2 in {pick(balancer, 0.6).port for _ in range(3)}
    failing.unreachable(0.6)
    assert 2 not in {pick(balancer, 1.5).port for _ in range(6)}, "left out for longer each time"
    failing.answered()
    assert balancer.healthy(1.5) == 3


async def test_with_every_address_failing_one_is_tried_nevertheless() -> None:
    balancer = Balancer("x", ["http://127.0.0.1:1", "http://127.0.0.1:2"])
    await balancer.refresh()
    for endpoint in balancer.endpoints:
        endpoint.unreachable(0.0)
    one = pick(balancer, 0.1)
    assert balancer.pick(0.1, [one]) is not one
    assert balancer.pick(0.1, balancer.endpoints) is None


async def test_a_name_is_resolved_to_all_its_addresses_and_kept_when_it_cannot_be() -> None:
    balancer = Balancer("x", ["http://localhost:80", "http://no-such-host.invalid:80"])
    await balancer.refresh()
    before = list(balancer.endpoints)
    assert "127.0.0.1" in {endpoint.host for endpoint in before}
    await balancer.refresh()
    assert balancer.endpoints == before


class Waiting:
    """An exchange that asks a pool for a connection."""

    is_finished = False

    def __init__(self) -> None:
        self.given: asyncio.Future[UpstreamConnection] = asyncio.get_running_loop().create_future()

    def connected(self, connection: UpstreamConnection) -> None:
        self.given.set_result(connection)

    def not_connected(self, endpoint: Endpoint) -> None:
        self.given.set_exception(ConnectionError(endpoint.host))


async def test_nothing_is_kept_for_an_address_that_is_gone() -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        balancer = Balancer("x", [f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"])
        await balancer.refresh()
        pool = UpstreamPool(
            "x", balancer, CircuitBreaker(8, 1, 8), RetryBudget(0.2, 5), PoolLimits(8, 8, 5.0, 30.0), Batch()
        )
        waiting = [Waiting(), Waiting()]
        assert [pool.acquire(each, 0.0) for each in waiting] == [None, None]
        idle, busy = [await each.given for each in waiting]
        pool.done(idle, reusable=True)
        await pool.refresh_addresses()
        assert pool.idle == 1
        assert pool.acquire(Waiting(), 0.0) is idle, "it is used again"
        pool.done(idle, reusable=True)
        balancer._targets = [("127.0.0.1", 1, b"host: x\r\n")]
        await pool.refresh_addresses()
        assert pool.idle == 0
        await asyncio.wait_for(left.wait(), 5)
        pool.done(busy, reusable=True)
        assert pool.idle == 0, "nor is what was under way kept afterwards"
        assert (pool.active, [endpoint.port for endpoint in balancer.endpoints]) == (0, [1])
        await pool.aclose()


def pick(balancer: Balancer, now: float) -> Endpoint:
    endpoint = balancer.pick(now)
    assert endpoint is not None
    return endpoint


@pytest.mark.parametrize("url", ["https://x:1", "http://x:1/path", "http://user@x:1", "x:1", "http://"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        Balancer("x", [url])
