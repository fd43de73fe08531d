"""The processes: what they refuse to start without, and what they answer while a server is away."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chassis.events.topology import contracts_directory
from chassis.mongo import Mongo
from chassis.testing.http import assert_problem, running
from chassis.testing.servers import mongo_database
from chassis.testing.tokens import TokenIssuer
from watch.config import Settings
from watch.consumers.registry import GENRES_QUEUE, USERS_QUEUE, GenreChanged, UserDeleted, handlers
from watch.main import create_app
from watch.storage.schema import migrate, require_schema

PUBLIC = {"/livez", "/readyz", "/metrics"}


@pytest.fixture
def empty_database_url() -> Iterator[str]:
    """A database that no migration step has seen."""
    with mongo_database("watchempty") as url:
        yield url


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATCH_")}
    return subprocess.run(
        [sys.executable, "-m", "watch", *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_process_says_which_settings_are_missing_and_tells_no_secret() -> None:
    finished = _run("api", WATCH_INTERNAL_TOKEN="too short to be good")
    assert finished.returncode == 2
    for name in ("DATABASE_URL", "BROKER_URL", "INTERNAL_TOKEN", "JWKS_URLS", "CATALOG_URLS"):
        assert f"WATCH_{name}: " in finished.stderr
    assert "too short to be good" not in finished.stderr


async def test_readiness_waits_for_the_migration_step(settings: Settings, empty_database_url: str) -> None:
    empty = Settings.model_validate(settings.model_dump() | {"database_url": empty_database_url})
    async with running(create_app(empty)) as http:
        before = await http.get("/readyz")
        assert (before.status_code, before.json()["checks"]) == (503, {"database": "SchemaMissingError", "clock": "ok"})
        finished = _run(
            "migrate",
            WATCH_DATABASE_URL=empty_database_url,
            WATCH_BROKER_URL="amqp://nowhere.test/",
            WATCH_INTERNAL_TOKEN="an internal token of thirty-two characters",
            WATCH_JWKS_URLS="http://nowhere.test/jwks",
            WATCH_CATALOG_URLS="http://nowhere.test",
        )
        assert finished.returncode == 0, finished.stdout
        assert (await http.get("/readyz")).status_code == 200


async def test_migrations_of_the_previous_version_leave_a_newer_database_alone(empty_database_url: str) -> None:
    mongo = Mongo(empty_database_url)
    await migrate(mongo)
    await mongo.database["schema"].update_one({"_id": "schema"}, {"$inc": {"version": 1}})
    await mongo.database["users"].drop_index("films")
    await migrate(mongo)
    assert "films" not in await mongo.database["users"].index_information()
    await require_schema(mongo.database)
    await mongo.aclose()


async def test_without_its_database_the_service_lives_and_says_503(
    settings: Settings, token_issuer: TokenIssuer
) -> None:
    away = Settings.model_validate(settings.model_dump() | {"database_url": "mongodb://127.0.0.1:9/watch"})
    async with running(create_app(away)) as http:
        assert (await http.get("/livez")).status_code == 200
        headers = token_issuer.bearer()
        ready, *answers = await asyncio.gather(
            http.get("/readyz"),
            http.get("/v1/watched", headers=headers),
            http.get("/v1/watched", headers={**headers, "Accept": "text/csv"}),
            http.get("/v1/reports/me", headers=headers),
        )
        assert ready.status_code == 503
        for answer in answers:
            assert_problem(answer, 503, "service-unavailable")
            assert "retry-after" in answer.headers


async def test_every_route_of_the_document_asks_for_a_token(client: httpx.AsyncClient, settings: Settings) -> None:
    app = create_app(settings)
    routes = [(method, path) for path, item in app.openapi()["paths"].items() for method in item]
    assert len(routes) == 7
    for method, path in routes:
        assert path not in PUBLIC
        answer = await client.request(method.upper(), path.replace("{movieId}", "1").replace("{userId}", "x"))
        assert_problem(answer, 401, "unauthenticated")


def test_the_openapi_document_is_valid_and_says_what_each_route_can_answer(settings: Settings) -> None:
    document = create_app(settings).openapi()
    OpenAPIV31SpecValidator(document).validate()
    operations = {item["operationId"]: item for path in document["paths"].values() for item in path.values()}
    assert set(operations) == {
        "markMovieWatched",
        "unmarkMovieWatched",
        "listWatchedMovies",
        "getWatchedMovie",
        "getMyReport",
        "listUserReports",
        "getUserReport",
    }
    assert set(operations["markMovieWatched"]["responses"]) == {
        "200", "201", "400", "401", "403", "404", "413", "415", "422", "503",
    }  # fmt: skip
    assert "text/csv" in operations["listWatchedMovies"]["responses"]["200"]["content"]
    assert all(operation["summary"] and operation["tags"] for operation in operations.values())


def _nothing() -> Any:
    raise AssertionError("no service is needed to look at the types")


@pytest.mark.parametrize(
    ("event_type", "queue", "model"),
    [
        ("identity.user.deleted.v1", USERS_QUEUE, UserDeleted),
        ("catalog.genre.changed.v1", GENRES_QUEUE, GenreChanged),
    ],
)
def test_consumed_events_are_those_of_the_contract(event_type: str, queue: str, model: Any) -> None:
    folder = contracts_directory() / "events"
    example = orjson.loads((folder / f"{event_type}.example.json").read_bytes())
    schema = orjson.loads((folder / f"{event_type}.schema.json").read_bytes())
    whole = "specversion" in schema["required"]
    jsonschema.validate(example if whole else example["data"], schema)
    model.model_validate(example["data"])
    assert event_type in handlers(_nothing)[queue]
