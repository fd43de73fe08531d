"""subscription-service on a real MySQL-compatible server, with its neighbours stood in for over real HTTP."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.ids import new_id
from chassis.migrations import upgrade
from chassis.sql import database_now
from chassis.testing.http import running
from chassis.testing.servers import mysql_database
from chassis.testing.tokens import TokenIssuer
from subscription.config import Settings
from subscription.factory import Resources, build_resources
from subscription.main import create_app
from subscription.migrations import SCRIPTS
from subscription.storage.tables import outbox

INTERNAL_TOKEN = "an-internal-token-of-the-tests-0123456789"
GENRES = {28: "Action", 35: "Comedy", 18: "Drama", 27: "Horror", 878: "Science Fiction", 10751: "Family"}


@dataclass
class Neighbours:
    """catalog-service and identity-service as far as this service asks them."""

    jwks: dict[str, Any]
    genres: dict[int, dict[str, Any]] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    failure: Response | None = None
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.answer_genres: Callable[[Request], Awaitable[Response]] = self.list_genres

    def reset(self) -> None:
        self.genres = {i: {"id": i, "name": name, "status": "active", "movieCount": 1} for i, name in GENRES.items()}
        self.disabled.clear()
        self.unknown.clear()
        self.asked.clear()
        self.failure = None
        self.answer_genres = self.list_genres

    def _noted(self, request: Request) -> Response | None:
        self.asked.append((request.url.path, request.url.query, request.headers.get("authorization", "")))
        return self.failure

    async def list_genres(self, request: Request) -> Response:
        if (failure := self._noted(request)) is not None:
            return failure
        ids = [int(genre_id) for genre_id in request.query_params["ids"].split(",")]
        return JSONResponse({"data": [self.genres[i] for i in ids if i in self.genres], "pagination": {}})

    async def lookup_users(self, request: Request) -> Response:
        if (failure := self._noted(request)) is not None:
            return failure
        ids = [user_id for user_id in (await request.json())["ids"] if user_id not in self.unknown]
        states = {user_id: "disabled" if user_id in self.disabled else "active" for user_id in ids}
        return JSONResponse({"users": [{"id": user_id, "status": status} for user_id, status in states.items()]})

    def app(self) -> Starlette:
        async def keys(_: Request) -> Response:
            return JSONResponse(self.jwks)

        async def genres(request: Request) -> Response:
            return await self.answer_genres(request)

        return Starlette(
            routes=[
                Route("/.well-known/jwks.json", keys),
                Route("/v1/genres", genres),
                Route("/internal/v1/users/lookup", self.lookup_users, methods=["POST"]),
            ]
        )


class _QuietServer(uvicorn.Server):
    """Leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def _serving(neighbours: Neighbours) -> AsyncIterator[Neighbours]:
    config = uvicorn.Config(
        neighbours.app(), host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off"
    )
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    neighbours.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield neighbours
    finally:
        server.should_exit = True
        await serving


@pytest.fixture(scope="session")
async def shared_neighbours(token_issuer: TokenIssuer) -> AsyncIterator[Neighbours]:
    neighbours = Neighbours(token_issuer.jwks())
    neighbours.reset()
    async with _serving(neighbours):
        yield neighbours


@pytest.fixture
def neighbours(shared_neighbours: Neighbours) -> Neighbours:
    shared_neighbours.reset()
    return shared_neighbours


class TestClock:
    """The database's clock, put forward by the test."""

    __test__ = False

    def __init__(self) -> None:
        self.ahead = timedelta()

    async def __call__(self, session: AsyncSession) -> datetime:
        return await database_now(session) + self.ahead


@pytest.fixture(scope="session")
def shared_clock() -> TestClock:
    return TestClock()


@pytest.fixture
def clock(shared_clock: TestClock) -> Iterator[TestClock]:
    yield shared_clock
    shared_clock.ahead = timedelta()


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    with mysql_database("subscription") as url:
        upgrade(SCRIPTS, url)
        yield url


@pytest.fixture(scope="session")
def settings(database_url: str, shared_neighbours: Neighbours) -> Settings:
    return Settings(
        database_url=database_url,
        # Fifty at once are in the database at once, instead of waiting for each other here.
        database_pool_size=50,
        broker_url="amqp://nobody@127.0.0.1:1/",
        internal_token=INTERNAL_TOKEN,
        jwks_urls=[f"{shared_neighbours.url}/.well-known/jwks.json"],
        identity_urls=[shared_neighbours.url],
        catalog_urls=[shared_neighbours.url],
    )


@pytest.fixture(scope="session")
async def resources(settings: Settings, shared_clock: TestClock) -> Resources:
    return build_resources(settings, clock=shared_clock)


@pytest.fixture(scope="session")
async def shared_client(settings: Settings, resources: Resources) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(settings, resources=resources)) as client:
        yield client


class Api:
    """What tests do through HTTP, as some caller."""

    def __init__(self, client: httpx.AsyncClient, issuer: TokenIssuer) -> None:
        self._client = client
        self._issuer = issuer
        self.user_id = new_id()
        self.headers: dict[str, str] = {}

    def anonymous(self) -> "Api":
        return Api(self._client, self._issuer)

    def user(self, user_id: uuid.UUID | None = None) -> "Api":
        """Another caller; without an id somebody new."""
        return self._as(user_id or new_id(), ("user",))

    def admin(self) -> "Api":
        return self._as(new_id(), ("user", "admin"))

    def _as(self, user_id: uuid.UUID, roles: tuple[str, ...]) -> "Api":
        other = Api(self._client, self._issuer)
        other.user_id = user_id
        other.headers = self._issuer.bearer(user_id, roles)
        return other

    async def __call__(self, method: str, path: str, json: Any = None, **headers: Any) -> httpx.Response:
        """Send a request; `if_match="x"` becomes the header If-Match."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if json is None else orjson.dumps(json, default=str)
        if content is not None:
            named.setdefault("content-type", "application/json")
        return await self._client.request(method, path, content=content, headers={**self.headers, **named})

    async def new_package(self, *genre_ids: int, name: str | None = None) -> httpx.Response:
        """A package of an administrator's with a name of its own; the answer."""
        body = {"name": name or f"Package {new_id()}", "genreIds": list(genre_ids or (28, 35))}
        answer = await self.admin()("POST", "/v1/packages", body)
        assert answer.status_code == 201, answer.text
        return answer

    async def edit(self, package_id: str, body: Any) -> httpx.Response:
        """Edit the package as it is now."""
        admin = self.admin()
        etag = (await admin("GET", f"/v1/packages/{package_id}")).headers["etag"]
        return await admin("PATCH", f"/v1/packages/{package_id}", body, if_match=etag)

    async def archive(self, package_id: str) -> None:
        admin = self.admin()
        etag = (await admin("GET", f"/v1/packages/{package_id}")).headers["etag"]
        assert (await admin("DELETE", f"/v1/packages/{package_id}", if_match=etag)).status_code == 204

    async def subscribe(self, package_id: str, **more: Any) -> dict[str, Any]:
        """Subscribe this caller; the subscription."""
        answer = await self("POST", "/v1/subscriptions", {"packageId": package_id, **more})
        assert answer.status_code == 201, answer.text
        subscription: dict[str, Any] = answer.json()
        return subscription

    async def entitlements(self) -> dict[str, Any]:
        answer = await self("GET", "/v1/entitlements/me")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def genre_ids(self) -> list[int]:
        return [genre["id"] for genre in (await self.entitlements())["genres"]]


@pytest.fixture
def api(shared_client: httpx.AsyncClient, token_issuer: TokenIssuer, neighbours: Neighbours, clock: TestClock) -> Api:
    """Somebody without a token."""
    return Api(shared_client, token_issuer)


@pytest.fixture
def user(api: Api) -> Api:
    return api.user()


@pytest.fixture
def admin(api: Api) -> Api:
    return api.admin()


class Events:
    """What is in the outbox."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def of_user(self, user_id: uuid.UUID | str) -> list[dict[str, Any]]:
        """The data of the user's entitlement events, oldest first."""
        table = outbox.events

        async def work(session: AsyncSession) -> list[bytes]:
            statement = select(table.c.body).where(table.c.aggregate == f"entitlements/{user_id}").order_by(table.c.id)
            return list((await session.execute(statement)).scalars())

        return [json.loads(body)["data"] for body in await self._resources.database.read(work)]


@pytest.fixture
def events(resources: Resources) -> Events:
    return Events(resources)


class Sql:
    """SQL on the service's database."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, statement: str, **values: Any) -> list[Any]:
        async def work(session: AsyncSession) -> list[Any]:
            result = await session.execute(text(statement), values)
            return list(result.all()) if statement.lstrip().upper().startswith("SELECT") else []

        return await self._resources.database.transaction(work)


@pytest.fixture
def sql(resources: Resources) -> Sql:
    return Sql(resources)
