"""Links that are reset, cut, slowed and silenced: detection, recovery, and nothing lost."""

import asyncio
import time

import pytest
from lab import shop as program
from lab.bench import Bench
from lab.proxy import TO_CLIENT, TO_SERVER
from yarl import URL

from chassis.sql import Database, DatabaseUnavailableError, database_now

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("direction", [TO_CLIENT, pytest.param(TO_SERVER, marks=pytest.mark.soak)])
def test_t10_a_broker_that_is_silent_one_way_is_noticed_and_used_again(shop: Bench, direction: str) -> None:
    shop.start()
    shop.write(50)
    shop.settle(20)
    before = shop.consumer_link.accepted
    for link in (shop.consumer_link, shop.broker_link):
        link.blackhole(frozenset({direction}))
    shop.write(50)
    noticed = shop.until(lambda: shop.consumer_link.accepted > before, 35, "a new connection")
    for link in (shop.consumer_link, shop.broker_link):
        link.heal()
    verdict = shop.settle(25)
    assert noticed <= 15, "two questions of the watchdog and its pause"
    assert verdict.settled_after <= 10, "consumers are back and all has arrived"
    shop.wait_consumers(1, 20)


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.soak)])
def test_t11_resets_leave_one_consumer_for_each_replica_and_nothing_open(shop: Bench, seconds: float) -> None:
    relays, consumers = shop.start(consumers=2)
    shop.write(300)
    shop.settle(20)
    replicas = [*relays, *consumers]
    before = [(replica.open_files(), replica.resident()) for replica in replicas]

    def reset() -> None:
        shop.consumer_link.reset()
        shop.broker_link.reset()

    shop.keep_writing(seconds, reset, 2, rate=30)
    shop.settle(30)
    shop.wait_consumers(2, 20)
    after = [(replica.open_files(), replica.resident()) for replica in replicas]
    assert [replica.starts for replica in replicas] == [1, 1, 1]
    assert all(now[0] <= then[0] + 5 for now, then in zip(after, before, strict=True)), (before, after)
    assert all(now[1] <= then[1] + 16 * 2**20 for now, then in zip(after, before, strict=True)), (before, after)
    assert shop.depth(shop.spec.parked_queue) == 0


def test_t13_connections_cut_in_the_middle_of_a_frame_lose_no_event(shop: Bench) -> None:
    shop.start()

    def cut() -> None:
        shop.broker_link.cut_after(shop.random.randrange(1, 3000))

    shop.keep_writing(8, cut, 0.5, rate=60)
    shop.broker_link.heal()
    shop.settle(30)


@pytest.mark.soak
def test_a_slow_broker_is_only_slow(shop: Bench) -> None:
    shop.start()
    shop.broker_link.delay(0.2)
    shop.consumer_link.delay(0.2)
    shop.write(200)
    shop.settle(40)
    assert shop.consumers() == 1


def test_a_database_that_falls_silent_is_unavailable_and_its_relay_recovers(shop: Bench) -> None:
    shop.start()
    shop.write(20)
    shop.settle(20)

    async def ask() -> float:
        database = Database(str(URL(shop.database_url).with_port(shop.sql_link.port)), pool_size=5)
        await database.read(database_now)
        shop.sql_link.blackhole()
        began = time.monotonic()
        results = await asyncio.gather(*(database.read(database_now) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(result, DatabaseUnavailableError) for result in results), results
        took = time.monotonic() - began
        shop.sql_link.heal()
        await database.read(database_now)
        await database.aclose()
        return took

    took = asyncio.run(ask())
    shop.write(20)
    shop.settle(30)
    assert took < 25


def test_t28_a_store_that_falls_silent_costs_no_delivery_attempt(shop: Bench) -> None:
    shop.start()
    shop.mongo_link.blackhole()
    shop.write(60)
    time.sleep(8)
    shop.mongo_link.heal()
    shop.settle(40)
    for queue in (shop.spec.parked_queue, *(shop.spec.retry_queue(delay) for delay in program.topology.RETRY_DELAYS)):
        assert shop.depth(queue) == 0, queue
