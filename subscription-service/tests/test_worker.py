"""The worker with a real broker: what it publishes and what it listens to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aio_pika
import pytest
from prometheus_client import CollectorRegistry

from chassis.events.consumer import Consumer, ConsumerMetrics
from chassis.events.envelope import Event, encode
from chassis.events.publisher import Publisher
from chassis.events.sql_outbox import RelayMetrics, SqlRelay
from chassis.events.topology import contracts_directory, load_topology
from chassis.ids import new_id
from subscription.consumers.genres import GENRE_CHANGED, GenreChanged, genre_handlers
from subscription.consumers.users import USER_DELETED, UserDeleted, user_handlers
from subscription.storage.tables import outbox

TOPOLOGY = load_topology()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            await asyncio.sleep(0.05)


@pytest.fixture
async def publisher(broker_url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(broker_url, "test", TOPOLOGY)
    await publisher.connect()
    yield publisher
    await publisher.aclose()


@contextlib.asynccontextmanager
async def running(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def consumer(broker_url: str, publisher: Publisher, queue: str, handlers: Any) -> Consumer:
    return Consumer(broker_url, "test", TOPOLOGY, queue, handlers, publisher, ConsumerMetrics(CollectorRegistry()))


async def publish(publisher: Publisher, event: Event) -> None:
    await publisher.publish_event(event.type, str(event.id), encode(event), {})


def user_deleted(user_id: Any) -> Event:
    data = {"userId": str(user_id), "revision": 7}
    return Event(USER_DELETED, "/identity", f"user/{user_id}", data)


async def test_a_change_reaches_the_broker_in_order_and_leaves_the_outbox(  # noqa: PLR0913 - fixtures
    api: Any, user: Any, resources: Any, broker_url: str, publisher: Publisher, sql: Any
) -> None:
    subscription = await user.subscribe((await api.new_package(28)).json()["id"])
    await user("DELETE", f"/v1/subscriptions/{subscription['id']}")
    relay = SqlRelay(resources.database, outbox, publisher, RelayMetrics(CollectorRegistry()))
    received: list[dict[str, Any]] = []
    connection = await aio_pika.connect(broker_url)
    channel = await connection.channel()
    queue = await channel.get_queue("catalog.entitlements.v1")

    async def mine() -> bool:
        while (message := await queue.get(fail=False, no_ack=True)) is not None:
            document = json.loads(message.body)
            if document["data"]["userId"] == str(user.user_id):
                received.append(document)
        return len(received) == 2

    async def drained() -> bool:
        return bool((await sql("SELECT COUNT(*) AS n FROM outbox_events"))[0].n == 0)

    async with running(relay.run):
        await until(drained)
        await until(mine)
    await connection.close()
    assert [document["data"]["revision"] for document in received] == [1, 2]
    assert received[0]["data"]["grants"][0]["genreIds"] == [28]
    assert received[1]["data"]["grants"] == []
    assert received[0]["correlationid"]


async def test_a_user_deleted_at_identity_is_erased_here(  # noqa: PLR0913 - fixtures
    api: Any, user: Any, admin: Any, resources: Any, broker_url: str, publisher: Publisher, events: Any
) -> None:
    package = (await api.new_package()).json()
    ended = await user.subscribe(package["id"])
    await user("DELETE", f"/v1/subscriptions/{ended['id']}")
    await user.subscribe(package["id"])

    async def is_gone() -> bool:
        return bool((await user.entitlements())["revision"] == 4)

    queue = consumer(broker_url, publisher, "subscription.users.v1", user_handlers(resources.users))
    async with running(queue.run):
        for _ in range(3):
            await publish(publisher, user_deleted(user.user_id))
        await until(is_gone)
        # Another event behind them: once it has been applied, so have the repetitions.
        other = api.user()
        await other.subscribe(package["id"])
        await publish(publisher, user_deleted(other.user_id))
        await until(lambda: _is_empty(other))
    assert await user.genre_ids() == []
    assert (await admin("GET", f"/v1/subscriptions?userId={user.user_id}")).json()["data"] == []
    assert [(event["revision"], len(event["grants"])) for event in await events.of_user(user.user_id)] == [
        (1, 1), (2, 0), (3, 1), (4, 0)
    ]  # fmt: skip


async def _is_empty(user: Any) -> bool:
    return bool(await user.genre_ids() == [])


async def test_a_genre_changed_at_the_catalog_is_renamed_and_flagged_here(
    api: Any, user: Any, resources: Any, broker_url: str, publisher: Publisher
) -> None:
    package = (await api.new_package(10751)).json()

    def genre_changed(revision: int, name: str, status: str) -> Event:
        data = {"genreId": 10751, "revision": revision, "name": name, "status": status, "added": "later"}
        return Event(GENRE_CHANGED, "/catalog", "genre/10751", data)

    async def is_flagged() -> bool:
        shown = (await user("GET", f"/v1/packages/{package['id']}")).json()["genres"]
        return bool(shown == [{"id": 10751, "name": "Familie", "status": "retired"}])

    queue = consumer(broker_url, publisher, "subscription.genres.v1", genre_handlers(resources.genres))
    async with running(queue.run):
        await publish(publisher, genre_changed(5, "Familie", "retired"))
        await publish(publisher, genre_changed(4, "Family", "active"))
        await until(is_flagged)
        await publish(publisher, genre_changed(6, "Family", "active"))

        async def is_back() -> bool:
            shown = (await user("GET", f"/v1/packages/{package['id']}")).json()["genres"]
            return bool(shown[0]["status"] == "active")

        await until(is_back)


async def test_the_neighbours_examples_can_be_read(resources: Any, user: Any) -> None:
    events = contracts_directory() / "events"
    user_example = json.loads((events / f"{USER_DELETED}.example.json").read_text())
    UserDeleted.model_validate(user_example["data"])
    genre_example = json.loads((events / f"{GENRE_CHANGED}.example.json").read_text())
    GenreChanged.model_validate(genre_example["data"])


async def test_deleting_a_user_who_never_was_here_tells_nobody(resources: Any, events: Any) -> None:
    user_id = new_id()
    await resources.users.forget(user_id)
    assert await events.of_user(user_id) == []
