"""The rules against guessing, as pure functions of state and time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.domain.throttling import AttemptState, LoginRules, admit
from identity.services.throttle import address_block

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
RULES = LoginRules(free_failures=10, guarded_free_failures=1, max_delay_seconds=900)


def failed(times: int, seconds_ago: float = 0.0, pending: int = 0) -> AttemptState:
    at = NOW - timedelta(seconds=seconds_ago)
    return AttemptState(failures=times, pending=pending, last_failure_at=at, pending_since=NOW)


def test_ten_failures_are_free() -> None:
    for failures in range(10):
        assert admit(failed(failures), NOW, RULES, under_attack=False).admitted


@pytest.mark.parametrize(
    ("failures", "delay"), [(10, 1), (11, 2), (12, 4), (15, 32), (19, 512), (20, 900), (10_000, 900)]
)
def test_each_further_failure_doubles_the_delay_up_to_the_most(failures: int, delay: int) -> None:
    verdict = admit(failed(failures), NOW, RULES, under_attack=False)
    assert not verdict.admitted
    assert verdict.retry_after == delay
    assert admit(failed(failures, seconds_ago=delay), NOW, RULES, under_attack=False).admitted


def test_a_day_of_quiet_forgets() -> None:
    verdict = admit(failed(500, seconds_ago=86_400), NOW, RULES, under_attack=False)
    assert verdict.admitted
    assert verdict.failures == 0


def test_attempts_under_way_count_until_their_outcome_is_known() -> None:
    assert admit(failed(4, pending=5), NOW, RULES, under_attack=False).admitted
    waiting = admit(failed(4, pending=6), NOW, RULES, under_attack=False)
    assert not waiting.admitted
    assert waiting.retry_after is None


def test_attempts_of_a_process_that_died_are_forgotten() -> None:
    stale = AttemptState(pending=50, pending_since=NOW - timedelta(seconds=30))
    verdict = admit(stale, NOW, RULES, under_attack=False)
    assert verdict.admitted
    assert verdict.pending == 0


def test_under_attack_strangers_have_one_try_and_the_owner_all() -> None:
    assert admit(AttemptState(), NOW, RULES, under_attack=True).admitted
    assert not admit(failed(1), NOW, RULES, under_attack=True).admitted
    owner = AttemptState(failures=1, last_failure_at=NOW, succeeded_at=NOW - timedelta(days=29))
    assert admit(owner, NOW, RULES, under_attack=True).admitted
    long_gone = AttemptState(failures=1, last_failure_at=NOW, succeeded_at=NOW - timedelta(days=30))
    assert not admit(long_gone, NOW, RULES, under_attack=True).admitted


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 10**7), st.booleans())
def test_nobody_is_refused_for_longer_than_the_most(failures: int, pending: int, ago: float, attack: bool) -> None:
    verdict = admit(failed(failures, ago, pending), NOW, RULES, under_attack=attack)
    assert verdict.admitted or verdict.retry_after is None or 0 < verdict.retry_after <= 900


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
    ],
)
def test_one_customers_addresses_count_as_one(address: str, block: str) -> None:
    assert address_block(address) == block
