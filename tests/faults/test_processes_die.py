"""Replicas killed, frozen and stopped at any moment: nothing is lost, nothing is applied twice."""

import signal
import time

import pytest
from lab import shop as program
from lab.bench import Bench
from sqlalchemy import select

pytestmark = pytest.mark.timeout(180)


def test_relay_consumer_and_projection_work_without_faults(shop: Bench) -> None:
    shop.start()
    shop.write(300)
    verdict = shop.settle(20)
    assert verdict.committed == 300
    assert verdict.duplicates == 0


def test_t1_a_killed_writer_leaves_state_and_event_or_neither(shop: Bench) -> None:
    for _ in range(6):
        writer = shop.program("writer", rate=500, clients=8)
        time.sleep(shop.random.uniform(0.9, 1.6))
        writer.kill()
    with shop.engine.connect() as connection:
        events = connection.execute(select(program.outbox.events.c.aggregate, program.outbox.events.c.revision)).all()
        orders = connection.execute(select(program.orders)).all()
    expected = {(f"order/{row.id}", revision) for row in orders for revision in range(1, row.revision + 1)}
    assert len(events) == len(expected) > 50
    assert {(row.aggregate, row.revision) for row in events} == expected


def test_t2_killed_relays_lose_nothing(shop: Bench) -> None:
    relays, _ = shop.start(relays=3)

    def kill_one() -> None:
        relay = shop.random.choice(relays)
        relay.kill()
        relay.start()

    shop.keep_writing(12, kill_one, 0.6, rate=60)
    verdict = shop.settle(40)
    assert verdict.committed > 300


def test_t3_a_relay_killed_between_confirm_and_deletion_sends_twice_what_is_applied_once(shop: Bench) -> None:
    shop.program("consumer").wait_ready()
    shop.wait_consumers(1)
    shop.write(60)
    dying = shop.program("relay", **{"die-after-confirm": 25})
    assert dying.wait_end() == -signal.SIGKILL
    shop.program("relay")
    verdict = shop.settle(20)
    assert verdict.duplicates > 0


def test_t22_a_consumer_killed_between_write_and_acknowledgement_applies_once(shop: Bench) -> None:
    shop.program("relay").wait_ready()
    shop.write(80)
    for _ in range(3):
        dying = shop.program("consumer", **{"die-after-write": 10})
        assert dying.wait_end() == -signal.SIGKILL
    shop.program("consumer")
    verdict = shop.settle(30)
    assert verdict.duplicates > 0
