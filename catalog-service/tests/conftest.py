"""The servers that catalog-service talks to: TMDB (the simulator), subscription-service and the key set (in here)."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from catalog.clients.tmdb.client import Patience, TmdbClient
from catalog.config import Settings
from catalog.domain.entitlements import Grant, Statement
from catalog.domain.genres import GenreChanges
from catalog.domain.movies import Movie
from catalog.factory import Resources
from catalog.main import create_catalog_app
from catalog.storage.schema import clear, migrate
from chassis.conditional import strong_etag
from chassis.mongo import Mongo
from chassis.testing.http import running
from chassis.testing.servers import mongo_database
from chassis.testing.tokens import TokenIssuer

INTERNAL_TOKEN = "internal-token-of-the-catalog-tests-0001"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Simulator:
    """The TMDB simulator as a process, and its admin endpoint."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(base_url=self.url, trust_env=False, timeout=10)

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self._client.get("/admin/faults").raise_for_status()
                return
            except httpx.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def reset(self) -> None:
        self._client.delete("/admin/faults").raise_for_status()
        self._client.delete("/admin/genres").raise_for_status()
        self._client.delete("/admin/requests").raise_for_status()

    def fault(self, kind: str, **options: Any) -> None:
        answer = self._client.post("/admin/faults", json={"kind": kind, **options})
        assert answer.status_code == 201, answer.text

    def heal(self) -> None:
        self._client.delete("/admin/faults").raise_for_status()

    def put_genres(self, names: Mapping[int, str]) -> None:
        genres = [{"id": genre, "name": name} for genre, name in names.items()]
        self._client.put("/admin/genres", json={"genres": genres}).raise_for_status()

    def put_film(self, film: Mapping[str, Any]) -> None:
        self._client.put(f"/admin/films/{film['id']}", json=dict(film)).raise_for_status()

    def remove_film(self, film_id: int) -> None:
        self._client.delete(f"/admin/films/{film_id}")

    def requests(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.get("/admin/requests", params={"path": path}).json()["requests"]
        return found

    def total(self) -> int:
        page = self._client.get("/3/discover/movie", headers={"authorization": "Bearer test"}).json()
        return int(page["total_results"])

    def close(self) -> None:
        self._client.close()


@pytest.fixture(scope="session")
def simulator_process() -> Iterator[Simulator]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tmdb_simulator"],
        env={**os.environ, "TMDB_SIMULATOR_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    simulator = Simulator(port)
    try:
        simulator.wait()
        yield simulator
    finally:
        simulator.close()
        process.terminate()
        process.wait(10)


@pytest.fixture
def simulator(simulator_process: Simulator) -> Iterator[Simulator]:
    simulator_process.reset()
    yield simulator_process
    simulator_process.reset()


@dataclass
class FakeSubscriptions:
    """subscription-service as far as the catalog asks it, with state that a test sets."""

    url: str = ""
    revisions: dict[uuid.UUID, int] = field(default_factory=dict)
    grants: dict[uuid.UUID, list[dict[str, Any]]] = field(default_factory=dict)
    asked: list[uuid.UUID] = field(default_factory=list)
    not_modified: int = 0
    is_down: bool = False
    delay_seconds: float = 0.0
    before_answer: Callable[[], None] | None = None
    user_of_token: dict[str, uuid.UUID] = field(default_factory=dict)

    def grant(self, user_id: uuid.UUID, *genre_ids: int, valid_until: datetime | None = None) -> None:
        """Set the user's grants to one of these genres."""
        self.set(user_id, [(genre_ids, valid_until)] if genre_ids else [])

    def set(self, user_id: uuid.UUID, grants: Sequence[tuple[Sequence[int], datetime | None]]) -> None:
        self.revisions[user_id] = self.revisions.get(user_id, 0) + 1
        self.grants[user_id] = [
            {
                "subscriptionId": str(uuid.uuid4()),
                "packageId": str(uuid.uuid4()),
                "packageVersion": 1,
                "genreIds": list(genre_ids),
                "validUntil": valid_until.isoformat().replace("+00:00", "Z") if valid_until else None,
            }
            for genre_ids, valid_until in grants
        ]

    def data(self, user_id: uuid.UUID) -> dict[str, Any]:
        """The data of `subscription.entitlements.changed.v1`."""
        revision = self.revisions.get(user_id, 0)
        return {"userId": str(user_id), "revision": revision, "grants": self.grants.get(user_id, [])}

    async def me(self, request: Request) -> Response:
        user_id = self.user_of_token[request.headers["authorization"].removeprefix("Bearer ")]
        self.asked.append(user_id)
        data = self.data(user_id)
        if self.before_answer is not None:
            self.before_answer()
        await asyncio.sleep(self.delay_seconds)
        if self.is_down:
            return JSONResponse({"code": "service-unavailable"}, 503)
        now = datetime.now(UTC)
        alive = [g for g in data["grants"] if g["validUntil"] is None or datetime.fromisoformat(g["validUntil"]) > now]
        etag = strong_etag(user_id, data["revision"], len(alive))
        if request.headers.get("if-none-match") == etag:
            self.not_modified += 1
            return Response(status_code=304, headers={"etag": etag})
        shown = [{**g, "package": {"id": g["packageId"], "name": "A package"}} for g in alive]
        return JSONResponse({**data, "grants": shown, "genres": [], "validUntil": None}, headers={"etag": etag})

    async def digest(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {INTERNAL_TOKEN}"
        if self.is_down:
            return Response(status_code=503)
        buckets: dict[int, list[int]] = {bucket: [] for bucket in range(256)}
        for user_id, revision in self.revisions.items():
            buckets[_bucket(user_id)].append(revision)
        return JSONResponse(
            {"buckets": [{"bucket": b, "count": len(r), "sumRevision": sum(r)} for b, r in buckets.items()]}
        )

    async def bucket(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {INTERNAL_TOKEN}"
        if self.is_down:
            return Response(status_code=503)
        query = request.query_params
        users = sorted((u for u in self.revisions if _bucket(u) == int(query["bucket"])), key=str)
        after = query.get("after", "")
        page = [u for u in users if str(u) > after][: int(query["limit"])]
        return JSONResponse({"entitlements": [self.data(u) for u in page]})


def _bucket(user_id: uuid.UUID) -> int:
    import zlib

    return zlib.crc32(str(user_id).encode()) & 255


@asynccontextmanager
async def _served(app: Starlette) -> AsyncIterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off", ws="none"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def subscriptions(token_issuer: TokenIssuer) -> AsyncIterator[FakeSubscriptions]:
    fake = FakeSubscriptions()

    async def jwks(_: Request) -> Response:
        return JSONResponse(token_issuer.jwks())

    app = Starlette(
        routes=[
            Route("/v1/entitlements/me", fake.me),
            Route("/internal/v1/entitlements/digest", fake.digest),
            Route("/internal/v1/entitlements", fake.bucket),
            Route("/.well-known/jwks.json", jwks),
        ]
    )
    async with _served(app) as url:
        fake.url = url
        yield fake


@pytest.fixture(scope="session")
async def migrated_url() -> AsyncIterator[str]:
    with mongo_database("catalog") as url:
        mongo = Mongo(url)
        await migrate(mongo.database)
        await mongo.aclose()
        yield url


@pytest.fixture
async def database_url(migrated_url: str) -> str:
    """A migrated database without anything in it."""
    mongo = Mongo(migrated_url)
    await clear(mongo.database)
    await mongo.aclose()
    return migrated_url


MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(database_url: str, subscriptions: FakeSubscriptions, simulator: Simulator) -> MakeSettings:
    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "database_url": database_url,
            "broker_url": "amqp://nobody@127.0.0.1:1/",
            "internal_token": INTERNAL_TOKEN,
            "jwks_urls": f"{subscriptions.url}/.well-known/jwks.json",
            "subscription_urls": subscriptions.url,
            "tmdb_token": "test",
            "tmdb_base_url": f"{simulator.url}/3",
            "tmdb_requests_per_second": 2000,
            "tmdb_timeout_seconds": 1.0,
            **changes,
        }
        return Settings(**values)

    return make


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """What a worker works with; little patience, so that faults end soon."""
    made = Resources(settings, Patience(tries=2, seconds=settings.tmdb_timeout_seconds, pause_seconds=0.02))
    yield made
    await made.aclose()


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API."""
    async with running(create_catalog_app(settings)) as made:
        yield made


class _Unlimited:
    async def acquire(self) -> None:
        """At once."""

    async def pause(self, seconds: float) -> None:
        """Not at all."""


@pytest.fixture
async def hasty(resources: Resources) -> AsyncIterator[Resources]:
    """Resources whose TMDB client gives up at once, so that faults end soon."""
    settings = resources.settings
    patient = resources.tmdb
    resources.tmdb = TmdbClient(
        settings.tmdb_base_url, "test", _Unlimited(), Patience(tries=2, seconds=0.25, pause_seconds=0.01)
    )
    yield resources
    await resources.tmdb.aclose()
    resources.tmdb = patient


@dataclass
class Person:
    """Somebody with a token."""

    id: uuid.UUID
    headers: dict[str, str]


MakePerson = Callable[..., Person]


@pytest.fixture
def person(token_issuer: TokenIssuer, subscriptions: FakeSubscriptions) -> MakePerson:
    """Makes somebody whose entitlements subscription-service knows."""

    def make(*genre_ids: int, roles: Sequence[str] = ("user",)) -> Person:
        user_id = uuid.uuid4()
        token = token_issuer.token(user_id, roles)
        subscriptions.user_of_token[token] = user_id
        if genre_ids:
            subscriptions.grant(user_id, *genre_ids)
        return Person(user_id, {"Authorization": f"Bearer {token}"})

    return make


def make_movie(movie_id: int, *genre_ids: int, **changes: Any) -> Movie:
    values: dict[str, Any] = {
        "id": movie_id,
        "title": f"Film {movie_id}",
        "original_title": f"Film {movie_id}",
        "original_language": "en",
        "overview": "",
        "release_date": None,
        "genre_ids": genre_ids,
        "popularity": 1.0,
        "vote_average": 5.0,
        "vote_count": 10,
        "poster_path": None,
        **changes,
    }
    return Movie(**values)


@pytest.fixture
def movie() -> Callable[..., Movie]:
    """Makes movies: an id, genres, and whatever else matters."""
    return make_movie


Store = Callable[..., Any]


@pytest.fixture
def store(resources: Resources) -> Store:
    """Stores movies and genres as if TMDB had been asked."""

    async def put(movies: Sequence[Movie] = (), genres: Mapping[int, str] | None = None) -> None:
        now = datetime.now(UTC)
        for start in range(0, len(movies), 1000):
            await resources.movie_writer.save_all(movies[start : start + 1000], now, 0)
        if genres:
            await resources.genres.apply(GenreChanges(added=dict(genres)), now, 0)
        await resources.revisions.advance(movies=True, genres=True)

    return put


@pytest.fixture
def statement() -> Callable[..., Statement]:
    """Makes what subscription-service says about a user."""

    def make(
        user_id: uuid.UUID, revision: int, *genre_ids: int, age: timedelta = timedelta(0), etag: str | None = None
    ) -> Statement:
        grants = (Grant(frozenset(genre_ids), None),) if genre_ids else ()
        return Statement(user_id, revision, grants, datetime.now(UTC) - age, etag)

    return make


@pytest.fixture
def free_ports() -> Callable[[int], list[int]]:
    """Ports that nobody listens on."""
    return lambda count: [free_port() for _ in range(count)]
