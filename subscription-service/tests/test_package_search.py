"""Filtered lists of packages find just what a look at every package finds."""

import asyncio
import contextlib
import os
import unicodedata
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.ids import new_id
from chassis.migrations import upgrade
from chassis.pagination import PageRequest
from chassis.sql import Database, database_now
from chassis.testing.servers import mysql_database
from subscription.domain.errors import PackageNameTakenError
from subscription.domain.genres import Genre, GenreStatus
from subscription.domain.packages import Package, PackageDraft, PackageQuery, PackageSortKey, PackageStatus
from subscription.domain.subscriptions import Subscription, SubscriptionStatus
from subscription.migrations import SCRIPTS
from subscription.storage import packages as packages_module
from subscription.storage import tables
from subscription.storage.genres import GenreRepository
from subscription.storage.package_index import PackageIndex
from subscription.storage.packages import PackageRepository
from subscription.storage.search_counts import SearchCounts
from subscription.storage.subscriptions import SubscriptionRepository
from subscription.storage.totals import TotalRepository

EXAMPLES = int(os.environ.get("SEARCH_EXAMPLES", "8"))
GENRES = (1, 2, 3, 2**31 - 1)
# Letters that differ by case or accent, expand to two weights, have none of their own or lie beyond the basic plane;
# blanks, what LIKE takes for wildcards, and what escapes them; a Chinese character with its radical and its sign.
ALPHABET = "aAáb ßsſœoeﬁi%_|\\'-\u00a0\u0301\u200bﷺ漢一⼀㊀😀🎬Σσς"
texts = st.text(ALPHABET, min_size=1, max_size=6).map(lambda value: unicodedata.normalize("NFC", value))
names = st.one_of(texts, st.lists(texts, min_size=2, max_size=20).map(lambda found: " ".join(found)[:100]))
genre_sets = st.sets(st.sampled_from(GENRES), min_size=1).map(lambda found: tuple(sorted(found)))
index = st.integers(0, 11)
step = st.one_of(
    st.tuples(st.just("create"), names, genre_sets),
    st.tuples(st.just("edit"), index, names, genre_sets),
    st.tuples(st.just("archive"), index),
    st.tuples(st.just("restore"), index),
    st.tuples(st.just("hold"), index),
    # The previous version of the service, which knows nothing of the search.
    st.tuples(st.just("previous_edit"), index, names, genre_sets),
    st.tuples(st.just("previous_archive"), index),
    st.tuples(st.just("work")),
)


LISTS = list(product((False, True), (None, *PackageStatus), PackageSortKey, (False, True)))


@dataclass
class World:
    """A database of its own, because totals and orders count everything in it."""

    database: Database
    holder: uuid.UUID
    turn: int = 0
    # Never forgotten: not with another example, when all packages have gone.
    counts: SearchCounts = field(default_factory=SearchCounts)

    async def do(self, work: Any) -> Any:
        return await self.database.transaction(work)

    async def clear(self) -> None:
        async def work(session: AsyncSession) -> None:
            for table in (
                tables.subscriptions, tables.package_version_genres, tables.package_versions, tables.package_genres,
                tables.package_name_parts, tables.package_search_totals, tables.row_totals, tables.packages,
            ):  # fmt: skip
                await session.execute(delete(table))
            await GenreRepository(session).learn(Genre(one, str(one), GenreStatus.ACTIVE) for one in GENRES)

        await self.do(work)

    async def genres(self) -> dict[uuid.UUID, set[int]]:
        """By package: the genres of its newest version."""

        async def work(session: AsyncSession) -> dict[uuid.UUID, set[int]]:
            held, own = tables.package_version_genres.c, tables.packages.c
            statement = select(own.id, held.genre_id).where(held.package_id == own.id, held.version == own.version)
            found: dict[uuid.UUID, set[int]] = {}
            for row in await session.execute(statement):
                found.setdefault(row.id, set()).add(row.genre_id)
            return found

        return dict(await self.do(work))

    async def names(self) -> list[str]:
        async def work(session: AsyncSession) -> list[str]:
            return list((await session.execute(select(tables.packages.c.name))).scalars())

        return list(await self.do(work))

    async def create(self, name: str, genre_ids: tuple[int, ...]) -> None:
        async def work(session: AsyncSession) -> None:
            draft = PackageDraft(name, None, genre_ids)
            await PackageRepository(session).insert(new_id(), draft, self.holder, await database_now(session))

        with contextlib.suppress(PackageNameTakenError):
            await self.do(work)

    async def work(self) -> None:
        await self.do(lambda session: PackageIndex(session).add_unindexed(100))

    async def run(self, action: str, *arguments: Any) -> None:
        """Do one step, to the package with the number that the step names first."""
        if action in ("create", "work"):
            await getattr(self, action)(*arguments)
            return
        number, *more = arguments

        async def work(session: AsyncSession) -> None:
            ids = (await session.execute(select(tables.packages.c.id).order_by(tables.packages.c.id))).scalars().all()
            if ids:
                package = await PackageRepository(session).find_for_edit(ids[number % len(ids)])
                assert package is not None
                await getattr(self, action)(session, package, await database_now(session), *more)

        with contextlib.suppress(PackageNameTakenError):
            await self.do(work)

    async def edit(self, session: AsyncSession, package: Package, now: datetime, *draft: Any) -> None:
        name, genre_ids = draft
        await PackageRepository(session).add_version(package, PackageDraft(name, None, genre_ids), self.holder, now)

    async def archive(self, session: AsyncSession, package: Package, now: datetime) -> None:
        if package.status is PackageStatus.ACTIVE:
            await PackageRepository(session).set_status(package, PackageStatus.ARCHIVED, now)

    async def restore(self, session: AsyncSession, package: Package, now: datetime) -> None:
        if package.status is PackageStatus.ARCHIVED:
            await PackageRepository(session).set_status(package, PackageStatus.ACTIVE, now)

    async def hold(self, session: AsyncSession, package: Package, now: datetime) -> None:
        repository = SubscriptionRepository(session)
        if not await repository.subscribers_among(package.id, [self.holder], now):
            active = SubscriptionStatus.ACTIVE
            held = Subscription(
                new_id(), self.holder, package.id, package.name, package.version, (), active, now, None, None
            )
            await repository.insert([held], self.holder)

    async def previous_edit(self, session: AsyncSession, package: Package, now: datetime, *draft: Any) -> None:
        (name, genre_ids), version = draft, package.version + 1
        if await PackageRepository(session).is_name_taken(name, package.id):
            return
        await self._previous_update(session, package, version=version, name=name, updated_at=now)
        key = {"package_id": package.id, "version": version}
        await session.execute(
            insert(tables.package_versions).values(name=name, created_at=now, created_by=self.holder, **key)
        )
        await session.execute(
            insert(tables.package_version_genres), [{**key, "genre_id": genre_id} for genre_id in genre_ids]
        )

    async def previous_archive(self, session: AsyncSession, package: Package, now: datetime) -> None:
        if package.status is PackageStatus.ACTIVE:
            await self._previous_update(session, package, status="archived", updated_at=now)
            await TotalRepository(session).add({"packages.active": -1, "packages.archived": 1})

    async def _previous_update(self, session: AsyncSession, package: Package, **values: Any) -> None:
        await session.execute(update(tables.packages).where(tables.packages.c.id == package.id).values(**values))

    async def check(self, name: str | None, genre_ids: frozenset[int]) -> None:
        """Compare every list with these filters with what is found by looking at every package."""
        expected = await self.expected(name, genre_ids)
        for _ in range(4):
            await self.check_next(name, genre_ids, expected)

    async def check_once(self, name: str | None, genre_ids: frozenset[int]) -> None:
        """The same for one of the lists."""
        await self.check_next(name, genre_ids, await self.expected(name, genre_ids))

    async def check_next(self, name: str | None, genre_ids: frozenset[int], expected: set[uuid.UUID]) -> None:
        # Each time another one of the 36 lists; 7 has no divisor in common with that.
        self.turn = (self.turn + 7) % len(LISTS)
        holds, status, sort, descending = LISTS[self.turn]
        query = PackageQuery(
            PageRequest(1, 3), name, genre_ids, status, sort, descending, self.holder if holds else None
        )
        await self.compare(query, await self.ordered(query, expected))

    async def expected(self, name: str | None, genre_ids: frozenset[int]) -> set[uuid.UUID]:
        wanted = {one for one, genres in (await self.genres()).items() if not genre_ids or genres & genre_ids}
        if name:
            pattern = name.replace("|", "||").replace("%", "|%").replace("_", "|_")

            async def matching(session: AsyncSession) -> set[uuid.UUID]:
                table = tables.packages.c
                like = table.name.like(f"%{pattern}%", escape="|")
                return set((await session.execute(select(table.id).where(like))).scalars())

            wanted &= await self.do(matching)
        return wanted

    async def ordered(self, query: PackageQuery, wanted: set[uuid.UUID]) -> list[uuid.UUID]:
        async def work(session: AsyncSession) -> list[uuid.UUID]:
            table = tables.packages.c
            key = table[query.sort.value]
            listed = select(table.id, table.status).order_by(key.desc() if query.descending else key, table.id)
            held = select(tables.subscriptions.c.package_id)
            if query.holder:
                listed = listed.where(or_(table.status == "active", table.id.in_(held)))
            rows = await session.execute(listed)
            return [row.id for row in rows if row.id in wanted and query.status in (None, PackageStatus(row.status))]

        return list(await self.do(work))

    async def compare(self, query: PackageQuery, expected: list[uuid.UUID]) -> None:
        async def work(session: AsyncSession) -> Any:
            pages = [PageRequest(number, 3) for number in range(1, len(expected) // 3 + 3)]
            packages, now = PackageRepository(session, self.counts), await database_now(session)
            return [await packages.list_packages(replace(query, page=page), now) for page in pages]

        found = await self.do(work)
        assert {page.total for page in found} == {len(expected)}, query
        assert [one.id for page in found for one in page.items] == expected, query


@pytest.fixture(scope="module")
def search_url() -> Iterator[str]:
    with mysql_database("search") as url:
        upgrade(SCRIPTS, url)
        yield url


@pytest.fixture(scope="module")
async def world(search_url: str) -> AsyncIterator[World]:
    database = Database(search_url)
    yield World(database, new_id())
    await database.aclose()


# When it costs nothing to read by the id, every list is read so; when it costs all, every list is walked in its order.
@pytest.mark.parametrize("cost", [0, 1e9])
async def test_filters_find_what_a_look_at_every_package_finds(
    world: World, cost: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages_module, "BY_ID_COST", cost)
    loop = asyncio.get_running_loop()

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
    @given(st.lists(step, min_size=4, max_size=14), st.lists(st.tuples(texts, genre_sets), min_size=1, max_size=2))
    def run(steps: list[tuple[Any, ...]], searches: list[tuple[str, tuple[int, ...]]]) -> None:
        asyncio.run_coroutine_threadsafe(run_steps(steps, searches), loop).result()

    async def run_steps(steps: list[tuple[Any, ...]], searches: list[tuple[str, tuple[int, ...]]]) -> None:
        await world.clear()
        for number, action in enumerate(steps):
            await world.run(*action)
            # The same two searches again and again: what was counted before a change is not believed.
            if number % 3 == 0:
                await world.check_once(searches[0][0][:1], frozenset(searches[0][1] if number % 2 else ()))
        # Parts of what is there, which random texts seldom meet: short, from within, and the whole.
        parts = [part for name in (await world.names())[:1] for part in (name[:1], name[1:4], name[-30:], name) if part]
        for name, genre_ids in searches:
            for needle in (name, *parts):
                await world.check(needle, frozenset())
            await world.check(None, frozenset(genre_ids))
            await world.check((parts or [name])[0], frozenset(genre_ids))

    await asyncio.to_thread(run)


async def test_what_like_tells_apart_is_told_apart_and_counted_so(api: Any, user: Any) -> None:
    # Short enough to be counted without a look at the name.
    stem = new_id().hex[-8:]
    for number, sign in enumerate("一⼀㊀"):
        await api.new_package(name=f"{stem} {sign} {number}")
    for sign, expected in (("一", ["一"]), ("⼀", ["⼀", "㊀"]), ("㊀", ["⼀", "㊀"])):
        answer = await user("GET", f"/v1/packages?name={stem} {sign}&sort=createdAt")
        assert [one["name"].split()[1] for one in answer.json()["data"]] == expected
        assert answer.headers["x-total-count"] == str(len(expected))


async def test_many_writers_at_once_are_all_answered_and_counted(api: Any, admin: Any, user: Any) -> None:
    stem = new_id().hex[:12]
    made = await asyncio.gather(*(api.new_package(28, 18, name=f"{n:02} {stem}") for n in range(50)))
    paths = [answer.headers["location"] for answer in made]
    queries = ("genreIds=28", "genreIds=27", "genreIds=27,18")
    before = [await total(user, query) for query in queries]
    edits = [admin("PATCH", path, {"genreIds": [27, 18], "name": f"{stem} 7"}, if_match="*") for path in paths[:1]]
    edits += [admin("PATCH", path, {"genreIds": [27, 18]}, if_match="*") for path in paths[1:25]]
    archived = [admin("DELETE", path, if_match="*") for path in paths[25:]]
    answers = await asyncio.gather(*edits, *archived)
    assert [answer.status_code for answer in answers] == [200] * 25 + [204] * 25
    after = [await total(user, query) for query in queries]
    assert [one - other for one, other in zip(after, before, strict=True)] == [-50, 25, -25]
    assert await total(user, f"name={stem}") == 25
    assert await total(user, f"name={stem} 7") == 1
    assert await total(admin, f"name={stem}&genreIds=18") == 50
    await asyncio.gather(*(admin("POST", f"{path}/restore") for path in paths[25:]))
    assert await total(user, f"name={stem}&genreIds=28") == 25


async def total(caller: Any, query: str) -> int:
    answer = await caller("GET", f"/v1/packages?{query}")
    assert answer.status_code == 200, answer.text
    return int(answer.headers["x-total-count"])


async def test_a_package_of_the_previous_version_is_found_before_and_after_the_worker_has_seen_it(
    api: Any, user: Any, sql: Any, resources: Any
) -> None:
    stem = new_id().hex
    made = (await api.new_package(28, 18, name=f"a {stem}")).json()
    # What it would have left: a name that the search knows nothing of, under a version it has not seen.
    package_id = uuid.UUID(made["id"]).bytes
    await sql(
        "INSERT INTO package_versions SELECT id, 2, :name, NULL, created_at, id FROM packages WHERE id = :id",
        name=f"b {stem}",
        id=package_id,
    )
    await sql("INSERT INTO package_version_genres VALUES (:id, 2, 18)", id=package_id)
    await sql("UPDATE packages SET version = 2, name = :name WHERE id = :id", name=f"b {stem}", id=package_id)
    for waiting in (1, 0):
        assert await total(user, f"name=b {stem}") == 1
        assert await total(user, f"name=a {stem}") == 0
        assert await total(user, f"name=_{stem}") == 0
        assert await total(user, f"name={stem}&genreIds=18") == 1
        assert await total(user, f"name={stem}&genreIds=28") == 0
        assert await resources.packages.index_packages(100) == waiting
