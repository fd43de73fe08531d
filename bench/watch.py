# ruff: noqa: T201, S311 - a program for a terminal, run as a file, with random test data
"""How long reports and the administrators' page take, and what a CSV export costs in memory.

    python -m bench.watch [--users 1000 100000] [--films-each 4]

Needs STACK_MONGO_URL. Everything is measured over HTTP against a real API process, on databases of its own that
are dropped at the end.
"""

import argparse
import asyncio
import os
import random
import socket
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import orjson

from bench.harness import Case, compare, table
from chassis.ids import new_id
from chassis.mongo import Document, Mongo
from chassis.testing.servers import mongo_database
from chassis.testing.tokens import TokenIssuer
from watch.storage.directory import SEGMENT_SIZE
from watch.storage.schema import LOWEST_ID, migrate

HISTORIES = (10, 1_000, 20_000)
EXPORTED = 100_000
GENRES = (12, 14, 16, 18, 27, 28, 35, 36, 37, 53, 80, 99, 878, 9648, 10402, 10749, 10751, 10752, 10770)
START = datetime(2000, 1, 1, tzinfo=UTC)
BATCH = 2_000
issuer = TokenIssuer()


def history(user_id: uuid.UUID, films: int) -> Iterator[Document]:
    """Documents as marking stores them; a film has none to three of TMDB's nineteen genres."""
    for movie_id in random.sample(range(1, films * 3), films):
        yield {
            "userId": user_id,
            "movieId": movie_id,
            "title": f"The film with the number {movie_id}",
            "sortTitle": f"the film with the number {movie_id}",
            "titleWords": sorted(["film", "number", "the", "with", str(movie_id)]),
            "releaseDate": "2000-01-01",
            "genreIds": sorted(random.sample(GENRES, random.choice((0, 1, 2, 2, 3, 3)))),
            "watchedAt": START + timedelta(minutes=random.randrange(10_000_000)),
            "createdAt": START,
        }


async def store(mongo: Mongo, counts: dict[uuid.UUID, int]) -> None:
    """Histories of so many films each, and the directory of their users."""
    database = mongo.database
    await migrate(mongo)
    await database["genres"].insert_many([{"_id": g, "name": f"Genre {g}", "revision": 1} for g in GENRES])
    pending: list[Document] = []
    for user_id, films in counts.items():
        for document in history(user_id, films):
            pending.append(document)
            if len(pending) == BATCH:
                await database["watched"].insert_many(pending, ordered=False)
                pending = []
    if pending:
        await database["watched"].insert_many(pending, ordered=False)
    ordered = sorted(counts)
    await database["segments"].delete_many({})
    size = SEGMENT_SIZE // 2
    for first in range(0, len(ordered), size):
        members = ordered[first : first + size]
        segment = members[0] if first else LOWEST_ID
        await database["segments"].insert_one({"_id": segment, "users": len(members)})
        await database["users"].insert_many(
            [{"_id": user, "films": counts[user], "deleted": False, "segment": segment} for user in members]
        )


@asynccontextmanager
async def key_server() -> AsyncIterator[str]:
    """Where the API fetches the keys of this program's tokens."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = orjson.dumps(issuer.jwks())
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


@dataclass(frozen=True, slots=True)
class Api:
    pid: int
    http: httpx.AsyncClient

    async def get(self, path: str, user: uuid.UUID | None = None) -> httpx.Response:
        """GET as an administrator; raises for anything but 200."""
        answer = await self.http.get(path, headers=issuer.bearer(user, ("user", "admin")))
        answer.raise_for_status()
        return answer

    async def export(self, path: str, user: uuid.UUID | None = None) -> int:
        """Number of lines of the CSV at `path`, which is thrown away."""
        headers = {**issuer.bearer(user, ("user", "admin")), "Accept": "text/csv"}
        lines = 0
        async with self.http.stream("GET", path, headers=headers) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                lines += chunk.count(b"\r\n")
        return lines

    def memory(self, name: str) -> float:
        """`VmRSS` or `VmHWM` in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@asynccontextmanager
async def api(database_url: str, jwks_url: str) -> AsyncIterator[Api]:
    """A real API process on `database_url`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "WATCH_DATABASE_URL": database_url,
        "WATCH_BROKER_URL": "amqp://unused.test/",
        "WATCH_INTERNAL_TOKEN": "x" * 32,
        "WATCH_JWKS_URLS": jwks_url,
        "WATCH_CATALOG_URLS": jwks_url,
        "WATCH_PORT": str(port),
        "WATCH_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "watch", "api", env=environment)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as http:
            made = Api(process.pid, http)
            while True:
                try:
                    await made.get("/v1/reports/me")
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.2)
            yield made
    finally:
        process.terminate()
        await process.wait()


def case(made: Api, path: str, *, times: int, user: uuid.UUID | None = None) -> Case:
    """`times` requests of `path`, one after the other."""

    async def run() -> None:
        for _ in range(times):
            await made.get(path, user)

    return Case(run, times, (made.pid,))


def wall_ratio(cases: dict[str, Case], of: str, to: str) -> str:
    """Median over rounds of the ratio of two cases' wall times in the same round."""
    ratios = [a / b for a, b in zip(cases[of].wall, cases[to].wall, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


async def single_reports(jwks_url: str) -> None:
    """Reports of users with few and many films, and the CSV of a large history."""
    users = {films: new_id() for films in (*HISTORIES, EXPORTED)}
    with mongo_database("bench") as url:
        mongo = Mongo(url)
        await store(mongo, {user: films for films, user in users.items()})
        await mongo.aclose()
        async with api(url, jwks_url) as made:
            cases = {
                f"report, {films} films": case(
                    made, "/v1/reports/me", times=max(1, 100 // max(1, films // 100)), user=users[films]
                )
                for films in HISTORIES
            }
            await compare(cases)
            print(table(cases))
            await made.get("/v1/watched?pageSize=100", users[EXPORTED])
            idle, begin = made.memory("VmRSS"), time.perf_counter()
            lines = await made.export("/v1/watched", users[EXPORTED])
            seconds = time.perf_counter() - begin
            print(f"\nCSV of {lines - 1} films: {seconds:.1f} s, {made.memory('VmHWM') - idle:.1f} MB above idle\n")


async def all_reports(jwks_url: str, sizes: Sequence[int], films_each: int) -> None:
    """The administrators' page beside few and many users, and the CSV of all."""
    cases: dict[str, Case] = {}
    async with AsyncExitStack() as stack:
        servers: dict[int, Api] = {}
        for size in sizes:
            url = stack.enter_context(mongo_database("bench"))
            mongo = Mongo(url)
            await store(mongo, {new_id(): random.randint(1, 2 * films_each - 1) for _ in range(size)})
            await mongo.aclose()
            servers[size] = await stack.enter_async_context(api(url, jwks_url))
        pages = {"first": lambda _: 1, "middle": lambda size: size // 20, "last": lambda size: size // 10}
        for name, number in pages.items():
            for size in sizes:
                path = f"/v1/reports/users?pageNumber={number(size)}"
                cases[f"{name} page, {size} users"] = case(servers[size], path, times=10)
        for size in sizes:
            path = f"/v1/reports/users?minFilms={films_each}"
            cases[f"minFilms={films_each}, {size} users"] = case(servers[size], path, times=3)
        await compare(cases)
        print(table(cases))
        few, many = min(sizes), max(sizes)
        for name in pages:
            ratio = wall_ratio(cases, f"{name} page, {many} users", f"{name} page, {few} users")
            print(f"\n{name} page: wall time at {many} users {ratio} times that at {few}")
        made = servers[many]
        idle, begin = made.memory("VmRSS"), time.perf_counter()
        lines = await made.export("/v1/reports/users")
        print(f"\nCSV of {lines - 1} reports: {time.perf_counter() - begin:.1f} s, "
              f"{made.memory('VmHWM') - idle:.1f} MB above idle")  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs=2, default=(1_000, 100_000))
    parser.add_argument("--films-each", type=int, default=4)
    chosen = parser.parse_args()
    random.seed(7)
    async with key_server() as jwks_url:
        await single_reports(jwks_url)
        await all_reports(jwks_url, chosen.users, chosen.films_each)


if __name__ == "__main__":
    asyncio.run(main())
