# A script for people, in no package: it prints, draws lots for its data, and ends when an answer is not 200.
# ruff: noqa: S101, S311, T201
"""What a page of movies costs at 10 thousand, 100 thousand and a million movies.

    STACK_MONGO_URL=mongodb://127.0.0.1:27217 python -m bench.catalog 10000 100000

For every size a database of generated movies is made and dropped afterwards. Measured are the CPU of this process,
which is the api, and the wall clock, which holds the engine's part besides: of an uncached page 1 and page 100 (of
20 movies, the total counted already), and of a cached page against an empty FastAPI route that returns the same
bytes. The application is called without a server and a client around it, because those would hide the difference.
"""

import argparse
import asyncio
import json
import random
import resource
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from unittest.mock import patch

from fastapi import FastAPI, Response

from catalog.clients.tmdb.client import Patience
from catalog.config import Settings
from catalog.domain.entitlements import Grant, Statement
from catalog.domain.genres import GenreChanges
from catalog.domain.movies import Movie
from catalog.factory import Resources
from catalog.main import create_catalog_app
from catalog.storage.schema import migrate
from chassis.app import create_app
from chassis.metrics import new_registry
from chassis.testing.servers import mongo_database
from chassis.testing.tokens import TokenIssuer

GENRES = {28: "Action", 12: "Adventure", 16: "Animation", 35: "Comedy", 80: "Crime", 99: "Documentary", 18: "Drama"}
GENRES |= {10751: "Family", 14: "Fantasy", 36: "History", 27: "Horror", 10402: "Music", 9648: "Mystery"}
GENRES |= {10749: "Romance", 878: "Science Fiction", 10770: "TV Movie", 53: "Thriller", 10752: "War", 37: "Western"}
ENTITLED = (28, 35, 878)
BATCH = 500


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


async def fill(resources: Resources, size: int) -> None:
    """A migrated database with `size` movies."""
    await migrate(resources.mongo.database)
    await resources.genres.apply(GenreChanges(added=GENRES), datetime.now(UTC), 1)
    begin = time.monotonic()
    for start in range(1, size + 1, BATCH):
        movies = [generated(number) for number in range(start, min(start + BATCH, size + 1))]
        await resources.movie_writer.save_all(movies, datetime.now(UTC), 1)
    await resources.revisions.advance(movies=True, genres=True)
    print(f"{size:>9,} movies stored in {time.monotonic() - begin:.1f} s")


Get = Callable[[str], Awaitable[tuple[int, bytes]]]


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


async def measured(times: int, work: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """CPU of this process and wall clock of one call, in milliseconds; the best of five rounds."""
    rounds = []
    for _ in range(5):
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(times):
            await work()
        rounds.append(((time.process_time() - cpu) / times * 1000, (time.perf_counter() - wall) / times * 1000))
    return min(rounds)


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
    return {"in an application of ours (ids, metrics, log)": ours, "in a bare FastAPI()": bare}


async def bench(url: str, size: int, times: int) -> None:
    resources = Resources(make_settings(url), Patience())
    issuer, user_id = TokenIssuer(), uuid.uuid4()
    token = issuer.token(user_id)

    async def confirm() -> None:
        await resources.entitlements.apply(
            Statement(user_id, 1, (Grant(frozenset(ENTITLED), None),), datetime.now(UTC))
        )

    await fill(resources, size)
    await confirm()
    page = "/v1/movies?pageSize=20&pageNumber={}"
    with patch("catalog.main.jwks_over_http", lambda *_: issuer.fetch):
        async with getting(create_catalog_app(make_settings(url, page_cache_bytes=0)), token) as get:
            for number in (1, 100):
                status, body = await get(page.format(number))
                assert status == 200, body
                await confirm()
                cpu, wall = await measured(times, lambda number=number: get(page.format(number)))  # type: ignore[misc]
                rows = len(json.loads(body)["data"])
                print(f"          uncached page {number:>3} ({rows} rows): {cpu:7.3f} ms CPU, {wall:9.3f} ms in all")
        async with getting(create_catalog_app(make_settings(url)), token) as get:
            await confirm()
            _, body = await get(page.format(1))
            cached, _ = await measured(times * 20, lambda: get(page.format(1)))
    print(f"          cached page: {cached:.3f} ms CPU")
    for name, app in empty_routes(body).items():
        async with getting(app, token) as get:
            empty, _ = await measured(times * 20, lambda: get("/v1/movies"))
        print(f"          empty route {name}: {empty:.3f} ms CPU; ratio {cached / empty:.2f}")
    await resources.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000])
    parser.add_argument("--times", type=int, default=20, help="calls in a round")
    options = parser.parse_args()
    for size in options.sizes:
        with mongo_database("bench") as url:
            asyncio.run(bench(url, size, options.times))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MB")


if __name__ == "__main__":
    main()
