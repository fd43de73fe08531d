# ruff: noqa: T201 - a program that is run as a file and talks to the person who runs it
"""How long a page of each list takes with ten thousand and with a million subscriptions, and its query plan.

Makes two databases on the server that STACK_MYSQL_URL names, fills them, times the pages of both in turn, and drops
them. Each package has ten subscriptions and each user ten, so the larger world has 100 000 packages too.

    STACK_MYSQL_URL=mysql://… python -m bench.subscription [--rows 1000000] [--rounds 31]
"""

import argparse
import asyncio
import random
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import create_engine, event, insert, text
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.ids import new_id
from chassis.migrations import upgrade
from chassis.pagination import PageRequest
from chassis.sql import database_now, driver_url
from chassis.testing.servers import mysql_database
from chassis.tokens import Principal
from subscription.config import Settings
from subscription.domain.entitlements import bucket_of
from subscription.domain.packages import PackageQuery, PackageSortKey, PackageStatus
from subscription.domain.subscriptions import SubscriptionQuery, SubscriptionSortKey, SubscriptionStatus
from subscription.factory import Resources, build_resources
from subscription.migrations import SCRIPTS
from subscription.storage import tables
from subscription.storage.packages import PackageRepository

SMALL = 10_000
PER_PACKAGE = 10
GENRES = range(1, 20)
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 5000
LIMIT = 1.5


def _principal(*roles: str, user_id: uuid.UUID | None = None) -> Principal:
    return Principal(user_id or new_id(), new_id(), frozenset(roles), 1, 0, 2**40, "")


class World:
    """One filled database."""

    def __init__(self, url: str, rows: int) -> None:
        self.rows = rows
        self.packages = [new_id() for _ in range(rows // PER_PACKAGE)]
        self.users = [new_id() for _ in range(rows // PER_PACKAGE)]
        self._url = url
        self.resources = _resources(url)

    def fill(self) -> None:
        """Migrate and store everything, sorted by primary key, which is several times faster than not."""
        upgrade(SCRIPTS, self._url)
        engine = create_engine(driver_url(self._url, "pymysql"))
        with engine.connect() as connection:
            connection.execute(text("SET SESSION foreign_key_checks = 0, unique_checks = 0"))
            for table, rows in self._tables():
                batch: list[dict[str, Any]] = []
                for row in rows:
                    batch.append(row)
                    if len(batch) == BATCH:
                        connection.execute(insert(table), batch)
                        connection.commit()
                        batch = []
                if batch:
                    connection.execute(insert(table), batch)
                connection.commit()
            for name in ("packages", "package_versions", "package_version_genres", "subscriptions"):
                connection.execute(text(f"ANALYZE TABLE {name}"))
        engine.dispose()

    async def index(self) -> None:
        """Let the packages be found by name and genre, as the worker does."""
        while await self.resources.packages.index_packages(500):
            pass
        async with self.resources.database.engine.connect() as connection:
            for name in ("packages", "package_name_parts", "package_genres", "package_search_totals"):
                await connection.execute(text(f"ANALYZE TABLE {name}"))

    def _tables(self) -> Iterator[tuple[Any, Iterator[dict[str, Any]]]]:
        chance = random.Random(7)  # noqa: S311 - test data
        yield tables.genres, ({"id": n, "name": f"Genre {n}", "status": "active", "revision": 1} for n in GENRES)
        status = {package: "archived" if n % 20 == 0 else "active" for n, package in enumerate(self.packages)}
        moment = {package: BEGIN + timedelta(seconds=chance.random() * 3e7) for package in self.packages}
        names = {package: f"{chance.choice(_WORDS)} {n:06}" for n, package in enumerate(self.packages)}
        yield (
            tables.packages,
            (
                {
                    "id": package, "status": status[package], "version": 1, "name": names[package],
                    "created_at": moment[package], "updated_at": moment[package],
                }
                for package in self.packages
            ),
        )  # fmt: skip
        yield (
            tables.package_versions,
            (
                {
                    "package_id": package, "version": 1, "name": names[package], "description": None,
                    "created_at": moment[package], "created_by": package,
                }
                for package in self.packages
            ),
        )  # fmt: skip
        yield (
            tables.package_version_genres,
            (
                {"package_id": package, "version": 1, "genre_id": genre}
                for package in self.packages
                for genre in sorted(chance.sample(GENRES, 2))
            ),
        )
        counts = {"active": 0, "cancelled": 0, "expired": 0}
        yield tables.subscriptions, self._subscriptions(chance, counts)
        yield (
            tables.entitlements_revisions,
            ({"user_id": user, "bucket": bucket_of(user), "revision": 10} for user in self.users),
        )
        archived = sum(value == "archived" for value in status.values())
        totals = {f"subscriptions.{name}": count for name, count in counts.items()}
        totals |= {"packages.archived": archived, "packages.active": len(self.packages) - archived}
        yield tables.row_totals, ({"name": name, "shard": 0, "total": total} for name, total in totals.items())

    def _subscriptions(self, chance: random.Random, counts: dict[str, int]) -> Iterator[dict[str, Any]]:
        for n, package in enumerate(self.packages):
            for k in range(PER_PACKAGE):
                status = chance.choices(("active", "cancelled", "expired"), (80, 15, 5))[0]
                counts[status] += 1
                created = BEGIN + timedelta(seconds=chance.random() * 3e7)
                ends = tables.NEVER if chance.random() < 0.5 else datetime.now(UTC) + timedelta(days=1 + k)
                yield {
                    "id": new_id(), "user_id": self.users[(n + k) % len(self.users)], "package_id": package,
                    "package_version": 1, "status": status, "created_at": created, "created_by": package,
                    "ends_at": created if status == "expired" else ends,
                    "cancelled_at": created if status == "cancelled" else None,
                }  # fmt: skip

    def cases(self) -> dict[str, Callable[[], Awaitable[Any]]]:
        """Every list, by what a client asks for."""
        admin, user = _principal("user", "admin"), _principal("user", user_id=self.users[len(self.users) // 2])
        first = PageRequest(1, 10)
        packages, subscriptions = self.resources.packages, self.resources.subscriptions
        own = SubscriptionQuery(first, user_id=user.user_id)
        every = SubscriptionQuery(first)
        middle = self.packages[len(self.packages) // 2]

        def listed(caller: Principal, **query: Any) -> Callable[[], Awaitable[Any]]:
            return lambda: packages.list_packages(caller, PackageQuery(**{"page": first, **query}))

        def counted(**query: Any) -> Callable[[], Awaitable[Any]]:
            """The list as the first to ask after a change of any package gets it: nothing is remembered."""

            async def work(session: AsyncSession) -> Any:
                asked = PackageQuery(first, holder=user.user_id, **query)
                return await PackageRepository(session).list_packages(asked, await database_now(session))

            return lambda: self.resources.database.read(work)

        def found(caller: Principal, base: SubscriptionQuery, **query: Any) -> Callable[[], Awaitable[Any]]:
            asked = {name: getattr(base, name) for name in ("page", "user_id")} | query
            return lambda: subscriptions.list_subscriptions(caller, SubscriptionQuery(**asked))

        return {
            "packages": listed(user),
            "packages?sort=-name (admin)": listed(admin, descending=True),
            "packages?sort=-updatedAt": listed(user, sort=PackageSortKey.UPDATED_AT, descending=True),
            "packages?sort=createdAt (admin)": listed(admin, sort=PackageSortKey.CREATED_AT),
            "packages?status=archived": listed(user, status=PackageStatus.ARCHIVED),
            "packages?status=archived (admin)": listed(admin, status=PackageStatus.ARCHIVED),
            "packages?pageNumber=50": listed(user, page=PageRequest(50, 10)),
            "packages/{id}/versions": lambda: packages.list_versions(admin, middle, first),
            "subscriptions": found(user, own),
            "subscriptions?status=active": found(user, own, status=SubscriptionStatus.ACTIVE),
            "subscriptions?sort=expiresAt": found(user, own, sort=SubscriptionSortKey.EXPIRES_AT, descending=False),
            "subscriptions (admin)": found(admin, every),
            "subscriptions?sort=createdAt (admin)": found(admin, every, descending=False),
            "subscriptions?sort=expiresAt (admin)": found(
                admin, every, sort=SubscriptionSortKey.EXPIRES_AT, descending=False
            ),
            "subscriptions?sort=-expiresAt (admin)": found(admin, every, sort=SubscriptionSortKey.EXPIRES_AT),
            "subscriptions?status=active (admin)": found(admin, every, status=SubscriptionStatus.ACTIVE),
            "subscriptions?status=expired (admin)": found(admin, every, status=SubscriptionStatus.EXPIRED),
            "subscriptions?packageId= (admin)": found(admin, every, package_id=middle),
            "subscriptions?userId= (admin)": found(admin, every, user_id=self.users[7]),
            "entitlements/me": lambda: self.resources.entitlements.get_entitlements(user.user_id),
            # Found in every hundredth, every eighth (first and last in the list's order) and nearly every name.
            "packages?name=005": listed(user, name="005"),
            "packages?name=action": listed(user, name="action"),
            "packages?name=world": listed(user, name="world"),
            "packages?name=0": listed(user, name="0"),
            "packages?name=005&sort=-updatedAt": listed(
                user, name="005", sort=PackageSortKey.UPDATED_AT, descending=True
            ),
            "packages?name=world&sort=-createdAt (admin)": listed(
                admin, name="world", sort=PackageSortKey.CREATED_AT, descending=True
            ),
            "packages?genreIds=3": listed(user, genre_ids=frozenset({3})),
            "packages?genreIds=3&sort=-updatedAt": listed(
                user, genre_ids=frozenset({3}), sort=PackageSortKey.UPDATED_AT, descending=True
            ),
            "packages?genreIds=3,5": listed(user, genre_ids=frozenset({3, 5})),
            "packages?genreIds=3&name=005": listed(user, genre_ids=frozenset({3}), name="005"),
            "packages?genreIds=3&name=world": listed(user, genre_ids=frozenset({3}), name="world"),
            "packages?name=action (counted)": counted(name="action"),
            "packages?name=world (counted)": counted(name="world"),
            "packages?genreIds=3,5 (counted)": counted(genre_ids=frozenset({3, 5})),
            "packages?genreIds=3&name=005 (counted)": counted(genre_ids=frozenset({3}), name="005"),
            "* packages?genreIds=3&name=world (counted)": counted(genre_ids=frozenset({3}), name="world"),
            "* subscriptions?pageNumber=500 (admin)": found(admin, every, page=PageRequest(500, 10)),
        }


_WORDS = ("Action", "Family", "Classics", "Night", "Été", "World", "Kids", "Noir")


def _resources(url: str) -> Resources:
    nowhere = ["http://127.0.0.1:1"]
    settings = Settings(
        database_url=url, broker_url="amqp://127.0.0.1:1/", internal_token="x" * 32,
        jwks_urls=nowhere, identity_urls=nowhere, catalog_urls=nowhere,
    )  # fmt: skip
    return build_resources(settings)


@contextmanager
def _statements(resources: Resources) -> Iterator[list[tuple[str, Any]]]:
    """What is sent to the database meanwhile."""
    sent: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, parameters))

    engine = resources.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def plan(world: World, case: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The rows of EXPLAIN for every SELECT that `case` makes."""
    with _statements(world.resources) as sent:
        await case()
    steps: list[Any] = []
    async with world.resources.database.engine.connect() as connection:
        for statement, parameters in sent:
            if not statement.startswith("SELECT") or " FROM " not in statement.replace("\n", " "):
                continue
            steps += [
                row
                for row in await connection.exec_driver_sql(f"EXPLAIN FORMAT=TRADITIONAL {statement}", parameters)
                if row.table
            ]
    return steps


def is_unindexed(step: Any) -> bool:
    """Whether all rows of a table are read. Twenty genres are read faster so, and <derived2> is the page itself."""
    return step.key is None and step.type == "ALL" and step.table != "genres" and not step.table.startswith("<")


async def _measure(small: World, large: World, rounds: int) -> bool:
    good = True
    print(f"| list | {small.rows} rows: ms | {large.rows} rows: ms | ratio (min-max) |")
    print("| --- | --- | --- | --- |")
    large_cases = large.cases()
    for name, small_case in small.cases().items():
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(3):
            await small_case()
            await large_cases[name]()
        for number in range(rounds):
            pair = [(0, small_case), (1, large_cases[name])]
            for which, case in pair if number % 2 else reversed(pair):
                begin = time.perf_counter()
                await case()
                times[which].append((time.perf_counter() - begin) * 1000)
        ratios = [b / a for a, b in zip(*times, strict=True)]
        middle = [statistics.median(values) for values in times]
        # Both pages of a round meet the same machine, so their ratio says more than that of the medians.
        ratio = statistics.median(ratios)
        good = good and (ratio <= LIMIT or name.startswith("*"))
        print(f"| {name} | {middle[0]:.2f} | {middle[1]:.2f} | {ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |")
    return good


async def _show_plans(world: World) -> bool:
    good = True
    for name, case in world.cases().items():
        print(f"\n{name}")
        for step in await plan(world, case):
            good = good and not is_unindexed(step)
            mark = "   <-- no index" if is_unindexed(step) else ""
            print(f"  {step.table}: {step.key} {step.type} {step.rows} {step.Extra}{mark}")
    return good


async def _run(small: World, large: World, rounds: int) -> int:
    for world in (small, large):
        begin = time.perf_counter()
        await world.index()
        print(f"{len(world.packages)} packages indexed in {time.perf_counter() - begin:.0f} s", flush=True)
    quick = await _measure(small, large, rounds)
    print("\n* grows with what it looks through: every package with the text or the genre, every row before the page")
    indexed = await _show_plans(large)
    for world in (small, large):
        await world.resources.aclose()
    print(f"\nevery list on an index: {indexed}; every page within {LIMIT} times: {quick}")
    return 0 if quick and indexed else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="subscriptions in the larger database")
    parser.add_argument("--rounds", type=int, default=31, help="timed pages of each list in each database")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        worlds = []
        for rows in (SMALL, arguments.rows):
            world = World(stack.enter_context(mysql_database("bench")), rows)
            begin = time.perf_counter()
            world.fill()
            print(f"{rows} rows stored in {time.perf_counter() - begin:.0f} s", flush=True)
            worlds.append(world)
        small, large = worlds
        return asyncio.run(_run(small, large, arguments.rounds))


if __name__ == "__main__":
    raise SystemExit(main())
