"""Fixtures of the end-to-end tests: the running test stack, reached through its gateway only."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from documented import Documented
from suite_client import Person, environment, register, unique, until


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A connection to the gateway, without a token. Every answer must be one that the API's document speaks of."""
    with httpx.Client(base_url=environment("STACK_GATEWAY_URL"), timeout=30, trust_env=False) as client:
        documented = Documented(until(lambda: whole_document(client), 30, "the document of all services"))
        client.event_hooks["response"].append(documented.check)
        yield client


def whole_document(client: httpx.Client) -> dict[str, Any] | None:
    """The document, once the gateway has every service's part."""
    answer = client.get("/openapi.json")
    document: dict[str, Any] = answer.json()
    services = {"users", "packages", "movies", "watched"}
    tags = {
        tag for item in document.get("paths", {}).values() for operation in item.values() for tag in operation["tags"]
    }
    return document if services <= tags else None


@pytest.fixture(scope="session")
def admin(http: httpx.Client) -> Person:
    """The first administrator."""
    person = Person(http, "", environment("ADMIN_EMAIL"), environment("ADMIN_PASSWORD")).log_in()
    person.id = person.get("/v1/users/me").json()["id"]
    return person


@pytest.fixture
def someone(http: httpx.Client) -> Person:
    """A plain user."""
    return register(http)


@pytest.fixture
def someone_else(http: httpx.Client) -> Person:
    """Another plain user."""
    return register(http, "Somebody else")


@pytest.fixture(scope="session")
def genres(admin: Person) -> dict[str, int]:
    """The stored genres by name, once the catalog has been filled."""

    def filled() -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = admin.get("/v1/genres?pageSize=100").json()["data"]
        return data if sum(genre["movieCount"] > 0 for genre in data) >= 15 else []

    return {genre["name"]: genre["id"] for genre in until(filled, 90, "a filled catalog")}


@pytest.fixture
def make_package(admin: Person, genres: dict[str, int]) -> Callable[..., dict[str, Any]]:
    """Makes a package of the genres with these names."""

    def make(*names: str) -> dict[str, Any]:
        answer = admin.post("/v1/packages", {"name": unique("Package"), "genreIds": [genres[name] for name in names]})
        assert answer.status_code == 201, answer.text
        package: dict[str, Any] = answer.json()
        return package

    return make


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The logs are looked at when everything else has written into them."""
    items.sort(key=lambda item: item.path.name == "test_logs.py")
