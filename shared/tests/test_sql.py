"""Transactions, column types and idempotency keys on the real database."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone

import asyncmy
import pytest
from sqlalchemy import Column, Integer, String, Table, create_engine, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import (
    IdempotencyKeyReusedError,
)
from chassis.idempotency import Answer, IdempotencyKeys, IdempotentRequest, idempotency_table
from chassis.ids import new_id
from chassis.sql import (
    TABLE_OPTIONS,
    BinaryUuid,
    Database,
    DatabaseUnavailableError,
    UtcDateTime,
    database_now,
    driver_url,
    new_metadata,
    violated_constraint,
)
from chassis.testing.servers import mysql_database

metadata = new_metadata()
things = Table(
    "things",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    Column("name", String(20), unique=True),
    Column("made_at", UtcDateTime),
    Column("number", Integer, nullable=False, server_default=text("0")),
    **TABLE_OPTIONS,
)
keys = idempotency_table(metadata)


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with mysql_database("chassis") as url:
        engine = create_engine(driver_url(url, "pymysql"))
        metadata.create_all(engine)
        engine.dispose()
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=20)
    yield database
    await database.aclose()


async def add(session: AsyncSession, name: str | None = None, number: int = 0) -> uuid.UUID:
    thing_id = new_id()
    await session.execute(insert(things).values(id=thing_id, name=name, number=number))
    return thing_id


async def test_ids_and_times_come_back_as_they_went_in(database: Database) -> None:
    made_at = datetime(2026, 1, 31, 12, 0, 0, 123456, timezone(timedelta(hours=-3)))
    thing_id = new_id()

    async def write(session: AsyncSession) -> None:
        await session.execute(insert(things).values(id=thing_id, made_at=made_at))

    await database.transaction(write)
    row = await database.read(lambda s: _one(s, thing_id))
    assert row.id == thing_id
    assert row.made_at == made_at
    assert row.made_at.tzinfo is UTC


async def _one(session: AsyncSession, thing_id: uuid.UUID):  # type: ignore[no-untyped-def]
    return (await session.execute(select(things).where(things.c.id == thing_id))).one()


async def test_a_time_without_offset_is_never_stored(database: Database) -> None:
    with pytest.raises(Exception, match="without an offset"):
        await database.transaction(
            lambda s: s.execute(insert(things).values(id=new_id(), made_at=datetime(2026, 1, 1)))  # noqa: DTZ001
        )


async def test_the_violated_constraint_is_named(database: Database) -> None:
    await database.transaction(lambda s: add(s, "unique"))
    with pytest.raises(IntegrityError) as caught:
        await database.transaction(lambda s: add(s, "unique"))
    assert violated_constraint(caught.value) == "uq_things_name"


async def test_an_error_leaves_nothing_behind(database: Database) -> None:
    async def fail(session: AsyncSession) -> None:
        await add(session, "half")
        raise LookupError

    with pytest.raises(LookupError):
        await database.transaction(fail)
    count = await database.read(lambda s: s.scalar(select(things.c.id).where(things.c.name == "half")))
    assert count is None


async def test_deadlocks_are_repeated_and_nothing_is_lost(database: Database) -> None:
    first, second = [await database.transaction(add) for _ in range(2)]

    async def bump_both(order: tuple[uuid.UUID, uuid.UUID]) -> None:
        async def work(session: AsyncSession) -> None:
            for thing_id in order:
                await session.execute(update(things).where(things.c.id == thing_id).values(number=things.c.number + 1))

        await database.transaction(work)

    await asyncio.gather(*(bump_both(pair) for pair in [(first, second), (second, first)] * 10))
    assert (await database.read(lambda s: _one(s, first))).number == 20
    assert (await database.read(lambda s: _one(s, second))).number == 20


async def test_strict_mode_refuses_what_does_not_fit(database: Database) -> None:
    with pytest.raises(Exception, match=r"1406|too long"):
        await database.transaction(lambda s: add(s, "a" * 21))


async def test_the_database_clock_is_utc(database: Database) -> None:
    now = await database.read(database_now)
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=30)


async def test_a_database_that_is_away_is_unavailable() -> None:
    database = Database("mysql://nobody:x@127.0.0.1:9/none")
    with pytest.raises(DatabaseUnavailableError):
        await database.read(database_now)
    await database.aclose()


async def test_a_connection_that_is_reset_while_it_is_opened_is_unavailable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(*_: object, **__: object) -> None:
        # What asyncmy says when the transport is closed before it sets the socket's options.
        raise RuntimeError("Transport does not expose socket instance")

    monkeypatch.setattr(asyncmy, "connect", reset)
    with pytest.raises(DatabaseUnavailableError):
        await database.read(database_now)
    monkeypatch.undo()
    await database.now()


def _request(key: str = "key", body: bytes = b"{}") -> IdempotentRequest:
    return IdempotentRequest(key.encode().ljust(32, b"."), body.ljust(32, b"."))


async def _create(database: Database, request: IdempotentRequest | None, runs: list[int]) -> Answer:
    async def work(session: AsyncSession) -> Answer:
        async def effect() -> Answer:
            runs.append(1)
            thing_id = await add(session)
            return Answer(201, {"Location": f"/things/{thing_id}"}, str(thing_id).encode())

        return await IdempotencyKeys(keys).once(session, request, effect)

    return await database.transaction(work)


async def test_the_first_answer_is_given_again(database: Database) -> None:
    runs: list[int] = []
    first = await _create(database, _request("a"), runs)
    again = await _create(database, _request("a"), runs)
    assert (again.status, again.headers, again.body) == (first.status, first.headers, first.body)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.to_response().headers["idempotency-replayed"] == "true"
    assert len(runs) == 1


async def test_without_a_key_every_request_counts(database: Database) -> None:
    runs: list[int] = []
    await _create(database, None, runs)
    await _create(database, None, runs)
    assert len(runs) == 2


async def test_a_key_with_another_body_is_refused(database: Database) -> None:
    await _create(database, _request("b", b"1"), [])
    with pytest.raises(IdempotencyKeyReusedError):
        await _create(database, _request("b", b"2"), [])


async def test_fifty_at_once_create_one(database: Database) -> None:
    runs: list[int] = []
    answers = await asyncio.gather(*(_create(database, _request("c"), runs) for _ in range(50)))
    assert len({answer.body for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1


async def test_an_effect_that_fails_does_not_spend_the_key(database: Database) -> None:
    async def failing(session: AsyncSession) -> Answer:
        async def effect() -> Answer:
            raise LookupError

        return await IdempotencyKeys(keys).once(session, _request("d"), effect)

    with pytest.raises(LookupError):
        await database.transaction(failing)
    assert not (await _create(database, _request("d"), [])).replayed


async def test_a_day_later_the_key_is_free_and_swept(database: Database) -> None:
    store = IdempotencyKeys(keys)
    await _create(database, _request("e"), [])
    await _create(database, _request("f"), [])

    async def age(session: AsyncSession) -> None:
        await session.execute(text("UPDATE idempotency_keys SET created_at = created_at - INTERVAL 25 HOUR"))

    await database.transaction(age)
    assert not (await _create(database, _request("e"), [])).replayed
    assert await database.transaction(store.sweep) >= 1
    assert (await _create(database, _request("e"), [])).replayed
