"""The directory of users with history: exact totals and pages while users come and go at the same moment."""

import asyncio
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import utc_now
from chassis.mongo import Mongo
from chassis.pagination import PageRequest
from chassis.testing.servers import mongo_database
from watch.storage.directory import Directory
from watch.storage.schema import migrate
from watch.storage.session_leases import SessionLeases
from watch.storage.transactions import Session, Transactions
from watch.storage.users import UserRepository

SEGMENT = 4


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A database that nobody else counts users in."""
    with mongo_database("directory") as url:
        yield url


@pytest.fixture
async def users(mongo: Mongo) -> "_Users":
    """An empty directory with segments small enough to see them split."""
    for name in ("users", "segments"):
        await mongo.database[name].delete_many({})
    await migrate(mongo)
    return _Users(mongo)


class _Users:
    def __init__(self, mongo: Mongo) -> None:
        self.database = mongo.database
        self.transactions = Transactions(mongo, SessionLeases(mongo, utc_now))
        self.directory = Directory(mongo.database, self.transactions, segment_size=SEGMENT)
        self.repository = UserRepository(mongo.database, self.directory)

    async def watch(self, user_id: uuid.UUID) -> None:
        """One film more."""
        await self.repository.ensure(user_id)

        async def work(session: Session) -> uuid.UUID | None:
            return await self.repository.count_in(user_id, session)

        if (crowded := await self.transactions.run(work)) is not None:
            await self.directory.split(crowded)

    async def forget(self, user_id: uuid.UUID) -> None:
        """One film less."""

        async def work(session: Session) -> None:
            await self.repository.count_out(user_id, session)

        await self.transactions.run(work)

    async def empty(self) -> None:
        for name in ("users", "segments"):
            await self.database[name].delete_many({})
        await self.database["segments"].insert_one({"_id": uuid.UUID(int=0), "users": 0})

    async def check(self, expected: set[uuid.UUID]) -> None:
        """Pages, total and the structure itself against the users that should be there."""
        ordered = sorted(expected)
        for page in (PageRequest(1, 3), PageRequest(2, 3), PageRequest(1, 100), PageRequest(4, 5), PageRequest(99, 7)):
            found = await self.repository.list_with_films(None, 0, page)
            assert found.total == len(ordered)
            assert list(found.items) == ordered[page.offset : page.offset + page.size]
        segments = await self.database["segments"].find().sort("_id", 1).to_list()
        borders = [segment["_id"] for segment in segments] + [uuid.UUID(int=2**128 - 1)]
        for segment, border in zip(segments, borders[1:], strict=True):
            inside = [user for user in ordered if segment["_id"] <= user < border]
            assert segment["users"] == len(inside)
            named = await self.database["users"].find({"segment": segment["_id"]}).to_list()
            assert sorted(user["_id"] for user in named) == inside


ids = st.integers(1, 40).map(lambda n: uuid.UUID(int=n << 100))


@settings(max_examples=40)
@given(changes=st.lists(st.tuples(st.booleans(), ids), max_size=40))
async def test_pages_and_totals_equal_a_sorted_list(users: Any, changes: list[tuple[bool, uuid.UUID]]) -> None:
    await users.empty()
    films: dict[uuid.UUID, int] = {}
    for more, user_id in changes:
        if more:
            films[user_id] = films.get(user_id, 0) + 1
            await users.watch(user_id)
        elif films.get(user_id):
            films[user_id] -= 1
            await users.forget(user_id)
    await users.check({user_id for user_id, count in films.items() if count})


async def test_users_who_come_and_go_at_once_are_counted_exactly(users: Any) -> None:
    everybody = [uuid.UUID(int=n << 100) for n in range(1, 61)]
    random.shuffle(everybody)
    await asyncio.gather(*(users.watch(user_id) for user_id in everybody))
    await users.check(set(everybody))
    gone = everybody[:30]
    again = everybody[30:40]
    await asyncio.gather(*(users.forget(u) for u in gone), *(users.watch(u) for u in again))
    await users.check(set(everybody[30:]))


async def test_a_segment_that_could_not_be_split_is_split_by_the_next_user(users: Any) -> None:
    everybody = [uuid.UUID(int=n) for n in range(1, 21)]
    whole = Directory(users.database, users.transactions, segment_size=1000)
    plain, users.repository._directory = users.repository._directory, whole
    for user_id in everybody[:-1]:
        await users.watch(user_id)
    assert await users.database["segments"].count_documents({}) == 1
    users.repository._directory = plain
    await users.watch(everybody[-1])
    assert await users.database["segments"].count_documents({}) == 2
    await users.check(set(everybody))


async def test_two_splits_of_one_segment_at_once_are_one(users: Any) -> None:
    everybody = [uuid.UUID(int=n) for n in range(1, 8)]
    whole = Directory(users.database, users.transactions, segment_size=1000)
    users.repository._directory = whole
    for user_id in everybody:
        await users.watch(user_id)
    await asyncio.gather(*(users.directory.split(uuid.UUID(int=0)) for _ in range(5)))
    users.repository._directory = users.directory
    assert await users.database["segments"].count_documents({}) == 2
    await users.check(set(everybody))


@pytest.mark.parametrize("min_films", [2, 3, 4])
async def test_the_least_number_of_films_narrows_the_list(users: Any, min_films: int) -> None:
    everybody = [uuid.UUID(int=n) for n in range(1, 13)]
    for number, user_id in enumerate(everybody):
        for _ in range(number % 4):
            await users.watch(user_id)
    expected = [user_id for number, user_id in enumerate(everybody) if number % 4 >= min_films]
    found = await users.repository.list_with_films(None, min_films, PageRequest(1, 2))
    assert (list(found.items), found.total) == (expected[:2], len(expected))
    streamed = [u async for batch in users.repository.stream_with_films(None, min_films) for u in batch]
    assert streamed == expected


async def test_migrating_again_changes_nothing(users: Any, mongo: Mongo) -> None:
    for n in range(1, 11):
        await users.watch(uuid.UUID(int=n))
    await migrate(mongo)
    await users.check({uuid.UUID(int=n) for n in range(1, 11)})
