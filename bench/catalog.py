# A script for people, in no package: it prints, draws lots for its data, and ends when an answer is not 200.
# ruff: noqa: S101, S311, T201
"""What a page of movies costs at 10 thousand, 100 thousand and a million movies.

    STACK_MONGO_URL=mongodb://127.0.0.1:27217 python -m bench.catalog 10000 100000

For every size a database of generated movies is made and dropped afterwards. Measured are the CPU of this process,
which is the api, the wall clock, which holds the engine's part besides, and with `--engine-pid` the engine's own CPU:
of an uncached page 1 and page 100 (of 20 movies, the total counted already) of every size in turn, and of a cached
page of the largest against a FastAPI route that returns the same bytes. The application is called without a server
and a client around it, because those would hide the difference. `--index` makes only the named indexes, for an engine
that takes too long to make them all; `--wait` lets every page wait for some seconds, as for a slow engine, and
`--hog` lets another process sort meanwhile, as a slow engine does: that tells what slowness itself costs.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import resource
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI, Response
from pymongo import AsyncMongoClient, network_layer

from bench.accounting import accounting, charged, uncharged
from bench.harness import Case, compare, process_cpu_seconds, ratios_by_round, spread, table
from catalog.clients.tmdb.client import Patience
from catalog.config import Settings
from catalog.domain.entitlements import Grant, Statement
from catalog.domain.genres import GenreChanges
from catalog.domain.movies import Movie
from catalog.factory import Resources
from catalog.main import create_catalog_app
from catalog.storage.movies import MovieRepository
from catalog.storage.schema import INDEXES, MOVIES, migrate
from chassis.app import create_app
from chassis.logging import configure_logging
from chassis.metrics import new_registry
from chassis.mongo import Document
from chassis.testing.servers import mongo_database
from chassis.testing.tokens import TokenIssuer

GENRES = {28: "Action", 12: "Adventure", 16: "Animation", 35: "Comedy", 80: "Crime", 99: "Documentary", 18: "Drama"}
GENRES |= {10751: "Family", 14: "Fantasy", 36: "History", 27: "Horror", 10402: "Music", 9648: "Mystery"}
GENRES |= {10749: "Romance", 878: "Science Fiction", 10770: "TV Movie", 53: "Thriller", 10752: "War", 37: "Western"}
ENTITLED = (28, 35, 878)
BATCH = 2_000
WRITERS = 2
_HOG = "import random; lots = [random.random() for _ in range(3_000_000)]\nwhile True: sorted(lots)"
PAGE = "/v1/movies?pageSize=20&pageNumber={}"
# The comparison of cached pages: calls in a round, and rounds, which are short.
CALLS = 1_000
CACHED_ROUNDS = 31
BARE = "route in a bare FastAPI()"


def generated(number: int) -> Movie:
    """Movie `number`, always the same; genres and popularity distributed roughly as TMDB's are."""
    choice = random.Random(number)
    return Movie(
        id=number,
        title=f"Film {number:x} {choice.choice(['of', 'and', 'without'])} {choice.randrange(10_000):x}",
        original_title=f"Film {number:x}",
        original_language=choice.choices(["en", "fr", "ja", "de", "es"], [6, 1, 1, 1, 1])[0],
        overview="What happens in it. " * 12,
        release_date=date(1950, 1, 1) + timedelta(days=choice.randrange(27_000)),
        genre_ids=tuple(choice.sample(list(GENRES), choice.choice([1, 2, 2, 3, 3, 4]))),
        popularity=round(choice.paretovariate(1.2), 3),
        vote_average=round(choice.triangular(0, 10, 6.5), 3),
        vote_count=choice.randrange(30_000),
        poster_path=f"/{number:x}.jpg",
    )


def make_settings(url: str, **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": url,
        "broker_url": "amqp://127.0.0.1:1/",
        "internal_token": "x" * 32,
        "jwks_urls": "http://127.0.0.1:1/jwks.json",
        "subscription_urls": "http://127.0.0.1:1",
        "tmdb_token": "none",
        **changes,
    }
    return Settings(**values)


async def fill(resources: Resources, size: int, indexes: Collection[str]) -> None:
    """A migrated database with `size` movies; of the indexes only `indexes`, unless that is empty."""
    begin = time.monotonic()
    database = resources.mongo.database
    await migrate(database)
    for index in INDEXES[MOVIES]:
        if indexes and index.document["name"] not in indexes:
            await database[MOVIES].drop_index(index.document["name"])
    await resources.genres.apply(GenreChanges(added=GENRES), datetime.now(UTC), 1)
    starts = iter(range(1, size + 1, BATCH))

    async def write() -> None:
        for start in starts:
            movies = [generated(number) for number in range(start, min(start + BATCH, size + 1))]
            await resources.movie_writer.save_all(movies, datetime.now(UTC), 1)

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    await resources.revisions.advance(movies=True, genres=True)
    print(f"{size:>9,} movies stored in {time.monotonic() - begin:.0f} s")


Get = Callable[[str], Coroutine[Any, Any, tuple[int, bytes]]]


@asynccontextmanager
async def getting(app: FastAPI, token: str) -> AsyncIterator[Get]:
    """A function that GETs a path with its query from `app`, with nothing around it."""
    async with app.router.lifespan_context(app) as state:

        async def get(target: str) -> tuple[int, bytes]:
            path, _, query = target.partition("?")
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": path,
                "raw_path": path.encode(),
                "query_string": query.encode(),
                "root_path": "",
                "headers": [(b"host", b"catalog"), (b"authorization", f"Bearer {token}".encode())],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 80),
                "state": dict(state or {}),
            }
            status, parts = 0, []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                nonlocal status
                status = message.get("status", status)
                parts.append(message.get("body", b""))

            await app(scope, receive, send)
            return status, b"".join(parts)

        yield get


@dataclass(slots=True)
class Cost:
    """What one call takes in each round, in milliseconds.

    `page` is the CPU of what the call itself does, `process` that of everything that this process does until the
    answer is there, `engine` the engine's. What is in `process` alone are timers and the waking up for them: no part
    of a page, and the more the longer the engine takes.
    """

    page: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{spread(self.page)} ms CPU of the page, {spread(self.process)} of the process meanwhile, "
            f"{spread(self.engine)} of the engine, {spread(self.wall)} ms in all"
        )


@dataclass(frozen=True, slots=True)
class Meter:
    """Measures rounds of `times` calls each."""

    times: int
    engine_pid: int | None

    def _now(self) -> tuple[float, float, float]:
        engine = process_cpu_seconds(self.engine_pid) if self.engine_pid else 0.0
        return time.process_time(), engine, time.perf_counter()

    async def round(self, work: Callable[[], Coroutine[Any, Any, Any]], cost: Cost) -> None:
        """Do `work`, and add to `cost` what it took."""
        begin = self._now()
        with accounting() as account:
            for _ in range(self.times):
                await charged(account, work())
        process, engine, wall = ((e - b) / self.times * 1000 for b, e in zip(begin, self._now(), strict=True))
        cost.page.append(account.work / self.times * 1000)
        cost.process.append(process)
        cost.engine.append(engine)
        cost.wall.append(wall)


def repeated(get: Get, target: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        for _ in range(CALLS):
            await get(target)

    return run


def empty_routes(body: bytes) -> dict[str, FastAPI]:
    """What a cached page is compared with: a route that only returns these bytes, in two applications."""

    async def same_bytes() -> Response:
        return Response(body, media_type="application/json")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {}

    bare = FastAPI()
    bare.add_api_route("/v1/movies", same_bytes)
    ours = create_app(title="empty", routers=[], checks={}, registry=new_registry(), lifespan=lifespan)
    ours.add_api_route("/v1/movies", same_bytes)
    return {"route in an application of ours": ours, BARE: bare}


def patient(*args: Any, **options: Any) -> AsyncMongoClient[Document]:
    """A client that waits for as long as an engine needs to sort or index a million movies.

    And silently: beside a page that takes ten seconds its heartbeats would be most of what is measured.
    """
    quiet = {"socketTimeoutMS": 1_800_000, "heartbeatFrequencyMS": 3_600_000, "serverMonitoringMode": "poll"}
    return AsyncMongoClient(*args, **{**options, **quiet})


@contextmanager
def slowness(seconds: float, *, hog: bool) -> Iterator[None]:
    """Every page of movies waits for so long inside the block; with `hog` another process uses memory and CPU."""
    page = MovieRepository.page

    async def late(self: MovieRepository, *arguments: Any) -> list[Movie]:
        await asyncio.sleep(seconds)
        return await page(self, *arguments)

    with ExitStack() as stack:
        if seconds:
            stack.enter_context(patch.object(MovieRepository, "page", late))
        if hog:
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", _HOG]))
            stack.callback(process.kill)
        yield


async def uncached_pages(urls: Mapping[int, str], token: str, options: argparse.Namespace) -> None:
    """Measure pages 1 and 100 of all sizes in turn, so that a machine whose speed drifts slows all of them alike."""
    meter = Meter(options.times, options.engine_pid)
    smallest = min(urls)
    async with AsyncExitStack() as stack:
        gets = {
            size: await stack.enter_async_context(
                getting(create_catalog_app(make_settings(url, page_cache_bytes=0)), token)
            )
            for size, url in urls.items()
        }
        for number in (1, 100):
            costs = {size: Cost() for size in urls}
            for get in gets.values():
                status, body = await get(PAGE.format(number))
                assert status == 200, body
                assert json.loads(body)["data"]
            for index in range(options.rounds):
                for size in sorted(urls, reverse=bool(index % 2)):
                    await meter.round(partial(gets[size], PAGE.format(number)), costs[size])
            for size, cost in costs.items():
                ratio = spread(ratios_by_round(cost.page, costs[smallest].page))
                print(f"uncached page {number:>3}, {size:>9,} movies: {ratio} times; {cost}")


async def cached_pages(url: str, token: str) -> None:
    """Compare a finished page with a route that does nothing but return its bytes."""
    async with AsyncExitStack() as stack:
        get = await stack.enter_async_context(getting(create_catalog_app(make_settings(url)), token))
        _, body = await get(PAGE.format(1))
        cases = {"cached page": Case(repeated(get, PAGE.format(1)), CALLS)}
        for name, app in empty_routes(body).items():
            empty = await stack.enter_async_context(getting(app, token))
            cases[name] = Case(repeated(empty, "/v1/movies"), CALLS)
        await compare(cases, CACHED_ROUNDS)
        print(table(cases, BARE))


async def bench(urls: Mapping[int, str], options: argparse.Namespace) -> None:
    issuer, user_id = TokenIssuer(), uuid.uuid4()
    # Confirmed in an hour: subscription-service is not there to be asked, however long it takes.
    statement = Statement(user_id, 1, (Grant(frozenset(ENTITLED), None),), datetime.now(UTC) + timedelta(hours=1))
    for size, url in urls.items():
        resources = Resources(make_settings(url), Patience())
        await fill(resources, size, options.index)
        await resources.entitlements.apply(statement)
        await resources.aclose()
    looks_for_a_cancellation = network_layer._poll_cancellation  # noqa: SLF001 - the driver has no name for it outside
    with patch("catalog.main.jwks_over_http", lambda *_: issuer.fetch):
        with (
            slowness(options.wait, hog=options.hog),
            # What is looked up anew as time goes by would be taken for a part of a page that the engine is slow with.
            patch("catalog.services.catalog_view._POLL_SECONDS", 3600.0),
            patch("catalog.services.catalog_view._USABLE_SECONDS", 3600.0),
            patch("catalog.services.entitlements._REMEMBERED_SECONDS", 3600.0),
            # While it waits for an answer the driver looks twice a second whether it still has to.
            patch.object(network_layer, "_poll_cancellation", uncharged(looks_for_a_cancellation)),
        ):
            await uncached_pages(urls, issuer.token(user_id), options)
        # A token of now: reading a million movies may take longer than one lives.
        await cached_pages(urls[max(urls)], issuer.token(user_id))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--times", type=int, default=20, help="calls in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine-pid", type=int, help="process of the database, to measure its CPU as well")
    parser.add_argument("--index", action="append", default=[], help="make only this index (may be repeated)")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds that every uncached page waits")
    parser.add_argument("--hog", action="store_true", help="keep another core and the memory busy meanwhile")
    options = parser.parse_args()
    # As in production, but to nowhere: writing the access log is a part of what an answer costs.
    configure_logging("catalog")
    log: Any = logging.getLogger().handlers[0]
    with open(os.devnull, "w") as nowhere, patch("chassis.mongo.AsyncMongoClient", patient):  # noqa: PTH123
        shown = log.setStream(nowhere)
        try:
            with ExitStack() as stack:
                urls = {size: stack.enter_context(mongo_database("bench")) for size in options.sizes}
                asyncio.run(bench(urls, options))
        finally:
            # What ends this script is told.
            log.setStream(shown)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MB")


if __name__ == "__main__":
    main()
