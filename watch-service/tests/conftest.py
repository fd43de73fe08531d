"""watch-service on a real MongoDB engine, with a catalog of the test's own behind real HTTP."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from chassis.ids import new_id
from chassis.mongo import Mongo
from chassis.testing.http import running
from chassis.testing.servers import mongo_database
from chassis.testing.tokens import TokenIssuer
from watch.config import Settings
from watch.factory import Factory
from watch.main import create_app
from watch.storage.schema import migrate

GENRES = {28: "Action", 35: "Comedy", 18: "Drama", 878: "Science Fiction", 53: "Thriller"}


@dataclass(frozen=True)
class Answer:
    """What the catalog sends: a status, a body, and when. `raw` replaces the whole HTTP message."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    delay_seconds: float = 0.0
    raw: bytes | None = None


def problem(status: int, code: str) -> Answer:
    document = {"type": f"/docs/problems#{code}", "title": code, "status": status, "detail": "", "code": code}
    return Answer(status, json.dumps(document).encode(), "application/problem+json")


@dataclass
class FakeCatalog:
    """The catalog's side of the contract over real HTTP; `misbehave` replaces its answers."""

    jwks: Mapping[str, Any]
    movies: dict[int, dict[str, Any]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    misbehave: Answer | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""
    server: asyncio.Server | None = None

    def stop(self) -> None:
        """Refuse connections from now on."""
        assert self.server is not None
        self.misbehave = Answer(raw=b"")
        self.server.close()

    def add(
        self, movie_id: int, title: str | None = None, genre_ids: tuple[int, ...] = (28,), released: str | None = None
    ) -> None:
        """A movie that everybody may see."""
        self.movies[movie_id] = {
            "id": movie_id,
            "title": title or f"Movie {movie_id}",
            "originalTitle": title or f"Movie {movie_id}",
            "originalLanguage": "en",
            "overview": None,
            "releaseDate": released,
            "genres": [{"id": g, "name": GENRES.get(g, f"Genre {g}")} for g in genre_ids],
            "popularity": 1.0,
            "voteAverage": None,
            "voteCount": 0,
            "posterUrl": None,
        }

    def answer(self, path: str, authorization: str | None) -> Answer:
        if path == "/.well-known/jwks.json":
            return Answer(body=json.dumps(self.jwks).encode())
        self.asked.append((path, authorization))
        if self.misbehave is not None:
            return self.misbehave
        movie_id = int(path.removeprefix("/v1/movies/"))
        if movie_id in self.hidden:
            return problem(403, "movie-not-in-your-genres")
        if movie_id not in self.movies:
            return problem(404, "movie-not-found")
        return Answer(body=json.dumps(self.movies[movie_id]).encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
                answer = self.answer(first.split(" ")[1], headers.get("authorization"))
                await asyncio.sleep(answer.delay_seconds)
                writer.write(answer.raw if answer.raw is not None else _message(answer))
                await writer.drain()
                if answer.raw is not None:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _message(answer: Answer) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status} -\r\ncontent-type: {answer.content_type}\r\n"
        f"content-length: {len(answer.body)}\r\n\r\n"
    )
    return head.encode() + answer.body


@pytest.fixture
async def catalog(token_issuer: TokenIssuer) -> AsyncIterator[FakeCatalog]:
    """A catalog that answers as the contract says."""
    fake = FakeCatalog(token_issuer.jwks())
    fake.server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{fake.server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        fake.server.close()


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    """A database of the module's own."""
    with mongo_database("watch") as url:
        yield url


@pytest.fixture(scope="module")
async def mongo(database_url: str) -> AsyncIterator[Mongo]:
    """A client of the module's database, which the migration step has prepared."""
    client = Mongo(database_url)
    await migrate(client)
    yield client
    await client.aclose()


@pytest.fixture
def settings(database_url: str, mongo: Mongo, catalog: FakeCatalog) -> Settings:
    """Settings of a service on the module's database and the test's catalog."""
    return Settings.model_validate(
        {
            "database_url": database_url,
            "broker_url": "amqp://nowhere.test/",
            "internal_token": "an internal token of thirty-two characters",
            "jwks_urls": [f"{catalog.url}/.well-known/jwks.json"],
            "catalog_urls": [catalog.url],
        }
    )


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running application."""
    async with running(create_app(settings)) as http:
        yield http


@pytest.fixture
async def factory(settings: Settings) -> AsyncIterator[Factory]:
    """The services themselves, as the worker has them."""
    made = Factory(settings)
    yield made
    await made.aclose()


@dataclass
class Person:
    """Somebody with an access token."""

    client: httpx.AsyncClient
    id: uuid.UUID
    headers: dict[str, str]

    async def mark(self, movie_id: int, watched_at: str | None = None) -> httpx.Response:
        path = f"/v1/watched/{movie_id}"
        if watched_at is None:
            return await self.client.put(path, headers=self.headers)
        return await self.client.put(path, headers=self.headers, json={"watchedAt": watched_at})

    async def unmark(self, movie_id: int) -> httpx.Response:
        return await self.client.delete(f"/v1/watched/{movie_id}", headers=self.headers)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.get(path, headers=headers, **options)

    async def movie_ids(self, **params: Any) -> list[int]:
        """The ids of the first page of the history."""
        answer = await self.get("/v1/watched", params=params)
        assert answer.status_code == 200, answer.text
        return [entry["movie"]["id"] for entry in answer.json()["data"]]


@pytest.fixture
def person(client: httpx.AsyncClient, token_issuer: TokenIssuer) -> Callable[..., Person]:
    """Makes people: plain users, or administrators with `roles`."""

    def make(user_id: uuid.UUID | None = None, roles: tuple[str, ...] = ("user",)) -> Person:
        made = user_id or new_id()
        return Person(client, made, token_issuer.bearer(made, roles))

    return make


@pytest.fixture
def alice(person: Callable[..., Person]) -> Person:
    """A plain user without history."""
    return person()


@pytest.fixture
def admin(person: Callable[..., Person]) -> Person:
    """An administrator without history."""
    return person(roles=("user", "admin"))


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def unused_port() -> int:
    """A port for a process that a test starts."""
    return free_port()


@pytest.fixture(scope="module")
def worker_port() -> int:
    """The operations port of the module's worker."""
    return free_port()
