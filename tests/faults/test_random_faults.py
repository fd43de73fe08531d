"""Anything at random, by a seed: three relays, consumers and writers, and every link and server of theirs."""

import os

import pytest
from lab.bench import Bench, note
from lab.nemesis import Nemesis
from lab.servers import Servers

pytestmark = pytest.mark.timeout(400)


def test_random_faults_lose_nothing_and_apply_nothing_twice(shop: Bench, servers: Servers) -> None:
    relays, consumers = shop.start(relays=3, consumers=3)
    writers = [shop.program("writer", rate=10) for _ in range(3)]
    links = {
        "producers": shop.broker_link,
        "consumers": shop.consumer_link,
        "mysql": shop.sql_link,
        "mongo": shop.mongo_link,
    }
    nemesis = Nemesis(servers, [relays, consumers, writers], links, shop.seed)
    nemesis.run(120 if os.environ.get("FAULTS_SOAK") else 25)
    nemesis.heal()
    for writer in writers:
        writer.end()
    verdict = shop.settle(60)
    note(
        f"random faults, seed {shop.seed}: {nemesis.done}, {verdict.committed} events, {verdict.duplicates} of them "
        f"delivered more than once, settled after {verdict.settled_after:.1f} s"
    )
    assert verdict.committed > 100
    assert shop.depth(shop.spec.parked_queue) == 0
