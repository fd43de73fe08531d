"""The sweep that compares the projection of entitlements with its source."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from catalog.jobs.healing import HealingSweep
from catalog.services.healing import EntitlementHealing
from catalog.storage.leases import Held
from chassis.deadlines import stop
from chassis.events.metrics import ProjectionMetrics
from chassis.http import PeerUnavailableError
from chassis.metrics import new_registry


@pytest.fixture
def healing(resources: Any) -> EntitlementHealing:
    return EntitlementHealing(resources.entitlements, resources.subscriptions, second_look_seconds=0.01)


async def revisions(resources: Any) -> dict[uuid.UUID, int]:
    documents = await resources.mongo.database["entitlements"].find({}, {"revision": 1}).to_list()
    return {uuid.UUID(document["_id"]): document["revision"] for document in documents}


async def test_what_was_never_heard_is_fetched(healing: Any, resources: Any, subscriptions: Any) -> None:
    users = [uuid.uuid4() for _ in range(40)]
    for user in users:
        subscriptions.grant(user, 28)

    assert await healing.sweep() == 40

    assert await revisions(resources) == dict.fromkeys(users, 1)
    assert await healing.sweep() == 0


async def test_a_large_bucket_is_read_page_by_page(
    healing: Any, resources: Any, subscriptions: Any, monkeypatch: Any
) -> None:
    from catalog.services import healing as module

    monkeypatch.setattr(module, "_PAGE", 3)
    users = [user for user in (uuid.uuid4() for _ in range(4000)) if user.int and _bucket(user) == 7]
    for user in users:
        subscriptions.grant(user, 28)

    assert await healing.sweep() == len(users) > 6

    assert (await revisions(resources)).keys() == set(users)


def _bucket(user_id: uuid.UUID) -> int:
    import zlib

    return zlib.crc32(str(user_id).encode()) & 255


async def test_a_lost_event_is_made_up_for(healing: Any, resources: Any, subscriptions: Any, statement: Any) -> None:
    user = uuid.uuid4()
    subscriptions.grant(user, 28)
    subscriptions.grant(user, 28, 35)
    await resources.entitlements.apply(statement(user, 1, 28))

    assert await healing.sweep() == 1

    held = await resources.entitlements.find(user)
    assert (held.revision, held.genres_at(resources.clock())) == (2, {28, 35})


async def test_a_source_that_went_back_in_time_is_believed(
    healing: Any, resources: Any, subscriptions: Any, statement: Any
) -> None:
    known, lost = uuid.uuid4(), uuid.uuid4()
    subscriptions.grant(known, 28)
    await resources.entitlements.apply(statement(known, 9, 35))
    await resources.entitlements.apply(statement(lost, 3, 35))

    assert await healing.sweep() == 2

    assert await revisions(resources) == {known: 1}
    assert (await resources.entitlements.find(known)).genres_at(resources.clock()) == {28}


async def test_somebody_without_a_row_at_the_source_is_no_difference(
    healing: Any, resources: Any, statement: Any
) -> None:
    await resources.entitlements.apply(statement(uuid.uuid4(), 0))

    assert await healing.sweep() == 0


async def test_an_event_on_its_way_is_waited_for(
    healing: Any, resources: Any, subscriptions: Any, statement: Any, monkeypatch: Any
) -> None:
    user = uuid.uuid4()
    subscriptions.grant(user, 28)
    looks = 0
    look = healing._differing

    async def arrive() -> set[int]:
        nonlocal looks
        looks += 1
        found: set[int] = await look()
        await resources.entitlements.apply(statement(user, 1, 28))
        return found

    monkeypatch.setattr(healing, "_differing", arrive)

    assert await healing.sweep() == 0
    assert looks == 2


async def test_without_the_source_nothing_changes(
    healing: Any, resources: Any, subscriptions: Any, statement: Any
) -> None:
    await resources.entitlements.apply(statement(uuid.uuid4(), 3, 35))
    subscriptions.is_down = True

    with pytest.raises(PeerUnavailableError):
        await healing.sweep()

    assert len(await revisions(resources)) == 1


async def test_what_the_sweep_finds_and_when_it_last_looked_is_shown(
    healing: Any, resources: Any, subscriptions: Any
) -> None:
    registry = new_registry()
    name, labels = "projection_compared_timestamp_seconds", {"projection": "entitlements"}

    async def sweep_until(condition: Callable[[], bool]) -> None:
        task = asyncio.create_task(HealingSweep(healing, metrics, 0.01).lead(Held("healing", 1)))
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)
        await stop(task)

    metrics = ProjectionMetrics(registry)
    subscriptions.grant(uuid.uuid4(), 28)
    await sweep_until(lambda: registry.get_sample_value("projection_repaired_total", labels) == 1)
    await sweep_until(lambda: registry.get_sample_value(name, labels) is not None)
    seen = registry.get_sample_value(name, labels) or 0
    assert abs(time.time() - seen) < 20

    failures = 0

    async def count() -> int:
        nonlocal failures
        failures += 1
        raise PeerUnavailableError("away")

    healing.sweep = count
    await sweep_until(lambda: failures > 2)
    assert registry.get_sample_value(name, labels) == seen, "not compared, not known to be equal"
