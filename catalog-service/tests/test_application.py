"""The service as a whole: routes, documentation, migrations, processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import validate
from pydantic import ValidationError
from pymongo import MongoClient
from pymongo.errors import WriteError

from catalog.config import Settings
from catalog.main import create_catalog_app
from catalog.storage.schema import OutdatedSchemaError, migrate, require_schema
from chassis.mongo import Mongo
from chassis.testing.http import running
from chassis.testing.servers import mongo_database

PUBLIC = {"/livez", "/readyz", "/metrics"}


async def test_no_route_answers_without_a_token(settings: Settings, client: Any) -> None:
    paths = set()
    for route in _routes(create_catalog_app(settings)):
        path = route.path.format(genreId=1, movieId=1)
        paths.add(route.path)
        for method in route.methods:
            if route.path not in PUBLIC:
                assert (await client.request(method, path)).status_code == 401, route.path

    assert paths == PUBLIC | {"/v1/genres", "/v1/genres/{genreId}", "/v1/movies", "/v1/movies/{movieId}", "/v1/sync"}


def _routes(app: Any) -> list[Any]:
    found: list[Any] = []
    pending = list(app.router.routes)
    while pending:
        route = pending.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            pending.extend(getattr(getattr(route, "original_router", None) or route, "routes", []))
    return found


def test_the_document_is_valid_and_says_what_can_happen(settings: Settings) -> None:
    document = create_catalog_app(settings).openapi()

    validate(document)
    operations = {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {operation["operationId"] for operation in operations.values()} == {
        "listGenres",
        "readGenre",
        "listMovies",
        "readMovie",
        "readSync",
        "requestSync",
    }
    codes = {
        (path, status): set(answer.get("content", {}).get("application/problem+json", {}).get("examples", {}))
        for (path, _), operation in operations.items()
        for status, answer in operation["responses"].items()
    }
    assert codes["/v1/movies/{movieId}", "403"] == {"movie-not-in-your-genres"}
    assert codes["/v1/movies/{movieId}", "404"] == {"movie-not-found"}
    assert codes["/v1/sync", "409"] == {"sync-running"}
    assert "entitlements-unavailable" in codes["/v1/movies", "503"]
    sort = next(p for p in operations["/v1/movies", "get"]["parameters"] if p["name"] == "sort")
    assert "-voteAverage" in str(sort["schema"])


async def test_migrations_may_be_repeated_and_readiness_asks_for_them(make_settings: Any) -> None:
    with mongo_database("catalog") as url:
        mongo = Mongo(url)
        try:
            async with running(create_catalog_app(make_settings(database_url=url))) as client:
                with pytest.raises(OutdatedSchemaError):
                    await require_schema(mongo.database)
                assert (await client.get("/readyz")).status_code == 503
                await migrate(mongo.database)
                await migrate(mongo.database)
                assert (await client.get("/readyz")).status_code == 200
            indexes = await mongo.database["movies"].index_information()
            assert indexes["page_popularity_desc"]["key"][:3] == [("genreIds", 1), ("popularity", -1), ("_id", 1)]
            with pytest.raises(WriteError):
                await mongo.database["movies"].insert_one({"_id": 1, "genreIds": "28", "fetchedAt": None})
        finally:
            await mongo.aclose()


async def test_migrations_of_the_previous_version_leave_a_newer_database_alone() -> None:
    with mongo_database("catalog") as url:
        mongo = Mongo(url)
        try:
            await migrate(mongo.database)
            await mongo.database["schema"].update_one({"_id": "version"}, {"$inc": {"version": 1}})
            await mongo.database["movies"].drop_index("title_words")
            await migrate(mongo.database)
            assert "title_words" not in await mongo.database["movies"].index_information()
            await require_schema(mongo.database)
        finally:
            await mongo.aclose()


def test_settings_say_what_is_wrong_and_never_a_secret(monkeypatch: Any) -> None:
    monkeypatch.setenv("CATALOG_DATABASE_URL", "mongodb://user:hunter2@127.0.0.1/db")
    monkeypatch.setenv("CATALOG_INTERNAL_TOKEN", "short-secret")
    monkeypatch.setenv("GENRE_MATCH", "some")

    with pytest.raises(ValidationError) as caught:
        Settings()

    text = str(caught.value)
    assert all(name in text for name in ("internal_token", "GENRE_MATCH", "TMDB_TOKEN", "jwks_urls"))
    assert "hunter2" not in text
    assert "short-secret" not in text


@pytest.mark.parametrize(
    "given", ["http://tmdb.test", "http://tmdb.test/", "http://tmdb.test/3", "http://tmdb.test/3/"]
)
def test_the_address_of_tmdb_may_be_given_with_or_without_the_version(given: str, make_settings: Any) -> None:
    assert make_settings(tmdb_base_url=given).tmdb_base_url == "http://tmdb.test/3"


def environment(settings: Settings, **changes: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")},
        "CATALOG_DATABASE_URL": settings.database_url.get_secret_value(),
        "CATALOG_BROKER_URL": "amqp://nobody@127.0.0.1:1/",
        "CATALOG_INTERNAL_TOKEN": settings.internal_token.get_secret_value(),
        "CATALOG_JWKS_URLS": "http://127.0.0.1:1/jwks.json",
        "CATALOG_SUBSCRIPTION_URLS": "http://127.0.0.1:1",
        "CATALOG_TMDB_REQUESTS_PER_SECOND": "1000",
        "TMDB_TOKEN": "test",
        "TMDB_BASE_URL": settings.tmdb_base_url,
        **changes,
    }


def wait_for(url: str, status: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(url, trust_env=False, timeout=10).status_code == status:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, url
        time.sleep(0.1)


@contextmanager
def started(process: str, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the service, which has to end on SIGTERM in time."""
    with log.open("wb") as output:
        running_process = subprocess.Popen(
            [sys.executable, "-m", "catalog", process], env=env, stdout=output, stderr=output
        )
    try:
        yield running_process
        running_process.send_signal(signal.SIGTERM)
        assert running_process.wait(25) in (0, -signal.SIGTERM)
    finally:
        running_process.kill()
        running_process.wait()


def test_processes_start_without_any_server_and_end_on_a_signal(
    settings: Settings, tmp_path: Path, free_ports: Any
) -> None:
    api_port, ops_port = free_ports(2)
    without = environment(
        settings,
        CATALOG_DATABASE_URL="mongodb://127.0.0.1:1/nothing",
        CATALOG_PORT=str(api_port),
        CATALOG_OPS_PORT=str(ops_port),
        TMDB_BASE_URL="http://127.0.0.1:1",
    )
    with started("api", without, tmp_path / "api"), started("worker", without, tmp_path / "worker"):
        for port in (api_port, ops_port):
            wait_for(f"http://127.0.0.1:{port}/livez", 200)
            wait_for(f"http://127.0.0.1:{port}/readyz", 503)
    assert b"127.0.0.1:1" in (tmp_path / "worker").read_bytes()


def test_a_worker_fills_an_empty_catalog_within_seconds(
    settings: Settings, simulator: Any, tmp_path: Path, free_ports: Any
) -> None:
    (ops_port,) = free_ports(1)
    full = environment(settings, CATALOG_OPS_PORT=str(ops_port))
    subprocess.run([sys.executable, "-m", "catalog", "migrate"], env=full, check=True, capture_output=True)
    with (
        started("worker", full, tmp_path / "worker"),
        MongoClient[dict[str, Any]](settings.database_url.get_secret_value()) as mongo,
    ):
        wait_for(f"http://127.0.0.1:{ops_port}/readyz", 200)
        total, deadline = simulator.total(), time.monotonic() + 20
        while mongo.get_default_database()["movies"].estimated_document_count() != total:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        metrics = httpx.get(f"http://127.0.0.1:{ops_port}/metrics", trust_env=False).text
        assert 'sync_runs_total{outcome="succeeded",routine="genres"} 1.0' in metrics


@pytest.mark.timeout(240)
def test_a_worker_that_is_killed_is_succeeded_where_it_was(
    settings: Settings, simulator: Any, tmp_path: Path, free_ports: Any
) -> None:
    # A walk of some 24 pages takes seconds, so that there is a time to kill in.
    ports = dict(zip(("killed", "next"), free_ports(2), strict=True))
    slow = environment(settings, CATALOG_TMDB_REQUESTS_PER_SECOND="5")
    subprocess.run([sys.executable, "-m", "catalog", "migrate"], env=slow, check=True, capture_output=True)

    def walked() -> int:
        return len([r for r in simulator.requests("/3/discover/movie") if r["query"].get("include_adult") == "false"])

    with MongoClient[dict[str, Any]](settings.database_url.get_secret_value()) as mongo:
        movies = mongo.get_default_database()["movies"]

        def wait_until_held(count: int, seconds: float) -> None:
            deadline = time.monotonic() + seconds
            while movies.estimated_document_count() < count:
                assert time.monotonic() < deadline
                time.sleep(0.05)

        env = {**slow, "CATALOG_OPS_PORT": str(ports["killed"])}
        with (tmp_path / "killed").open("wb") as output:
            killed = subprocess.Popen(
                [sys.executable, "-m", "catalog", "worker"], env=env, stdout=output, stderr=output
            )
        try:
            wait_until_held(180, 90)
        finally:
            killed.kill()
            killed.wait()
        first, stored = walked(), movies.estimated_document_count()
        with started("worker", {**slow, "CATALOG_OPS_PORT": str(ports["next"])}, tmp_path / "next"):
            # The lease of the killed one has to run out first.
            wait_until_held(simulator.total(), 120)
    pages = -(-simulator.total() // 20)
    # What was under way, one batch of eight at most, is fetched again; nothing that was stored is.
    assert walked() - first <= pages - stored // 20 + 8
    assert first < pages
