"""The memory of an API process while it streams a large history as CSV."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from chassis.ids import new_id
from chassis.mongo import Mongo
from chassis.testing.tokens import TokenIssuer
from watch.config import Settings

# Held in memory as Python objects these take more than twice the bar; `bench/` streams 100 000.
FILMS = 25_000
BAR_BYTES = 20 * 2**20


@asynccontextmanager
async def _process(settings: Settings, port: int) -> AsyncIterator[int]:
    """A real API process; yields its process id."""
    environment = {
        **os.environ,
        "WATCH_DATABASE_URL": settings.database_url.get_secret_value(),
        "WATCH_BROKER_URL": settings.broker_url.get_secret_value(),
        "WATCH_INTERNAL_TOKEN": settings.internal_token.get_secret_value(),
        "WATCH_JWKS_URLS": ",".join(settings.jwks_urls),
        "WATCH_CATALOG_URLS": ",".join(settings.catalog_urls),
        "WATCH_PORT": str(port),
        "WATCH_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "watch", "api", env=environment)
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


def _memory(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


async def _films(mongo: Mongo, user_id: Any, count: int) -> None:
    start = datetime(2000, 1, 1, tzinfo=UTC)
    for first in range(1, count + 1, 5000):
        await mongo.database["watched"].insert_many(
            [
                {
                    "userId": user_id,
                    "movieId": movie_id,
                    "title": f"The film that has the number {movie_id}",
                    "sortTitle": f"the film that has the number {movie_id}",
                    "titleWords": ["film", "the"],
                    "releaseDate": "2000-01-01",
                    "genreIds": [28, 878],
                    "watchedAt": start + timedelta(minutes=movie_id),
                    "createdAt": start,
                }
                for movie_id in range(first, first + 5000)
            ],
            ordered=False,
        )


async def test_a_large_history_is_streamed_with_flat_memory(
    settings: Settings, mongo: Mongo, token_issuer: TokenIssuer, unused_port: int
) -> None:
    user_id = new_id()
    for genre_id in (28, 878):
        await mongo.database["genres"].update_one(
            {"_id": genre_id}, {"$set": {"name": f"Genre {genre_id}", "revision": 0}}, upsert=True
        )
    await _films(mongo, user_id, FILMS)
    headers = {**token_issuer.bearer(user_id), "Accept": "text/csv"}
    async with _process(settings, unused_port) as pid, httpx.AsyncClient(timeout=60, trust_env=False) as http:
        url = f"http://127.0.0.1:{unused_port}/v1/watched"
        await _answers(http, url, headers)
        idle = _memory(pid, "VmRSS")
        lines = 0
        async with http.stream("GET", url, headers=headers) as answer:
            async for chunk in answer.aiter_bytes():
                lines += chunk.count(b"\r\n")
        assert lines == FILMS + 1
        assert _memory(pid, "VmHWM") - idle <= BAR_BYTES


async def _answers(http: httpx.AsyncClient, url: str, headers: dict[str, str]) -> None:
    """Returns when the process answers an authenticated request."""
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await http.get(url, headers=headers, params={"movieIds": "1"})
            except httpx.TransportError:
                answer = httpx.Response(503)
            if answer.status_code == 200:
                return
            await asyncio.sleep(0.1)
